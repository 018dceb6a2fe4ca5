import { apply, inverse, type Edit } from "./edits.ts";

/** A text with undo and redo. */
export class History {
  #text: string;
  #undo: Edit[] = [];
  #redo: Edit[] = [];
  #most: number;

  constructor(text = "", most = 100) {
    this.#text = text;
    this.#most = most;
  }

  get text(): string {
    return this.#text;
  }

  /** Makes an edit; what was undone before can be redone no more. */
  edit(edit: Edit): void {
    const back = inverse(this.#text, edit);
    this.#text = apply(this.#text, edit);
    this.#undo.push(back);
    if (this.#undo.length > this.#most) this.#undo.shift();
    this.#redo = [];
  }

  undo(): boolean {
    return this.#step(this.#undo, this.#redo);
  }

  redo(): boolean {
    return this.#step(this.#redo, this.#undo);
  }

  #step(from: Edit[], to: Edit[]): boolean {
    const edit = from.pop();
    if (edit === undefined) return false;
    to.push(inverse(this.#text, edit));
    this.#text = apply(this.#text, edit);
    return true;
  }
}
