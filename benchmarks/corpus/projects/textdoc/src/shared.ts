import { apply, rebased, type Edit } from "./edits.ts";

export interface Sent {
  author: string;
  /** How many edits the author had seen. */
  revision: number;
  edit: Edit;
}

/** The text on the server: edits that come late are rebased over those that the author had not seen. */
export class SharedText {
  #text: string;
  #edits: { author: string; edit: Edit }[] = [];
  #readers = new Set<(edit: Edit, revision: number) => void>();

  constructor(text = "") {
    this.#text = text;
  }

  get text(): string {
    return this.#text;
  }

  get revision(): number {
    return this.#edits.length;
  }

  /** Returns the edit as it was made; undefined when it touches what somebody else replaced. */
  receive(sent: Sent): Edit | undefined {
    if (sent.revision < 0 || sent.revision > this.revision) throw new RangeError(`no revision ${sent.revision}`);
    let edit: Edit | undefined = sent.edit;
    for (const earlier of this.#edits.slice(sent.revision)) {
      edit = rebased(edit, earlier.edit);
      if (edit === undefined) return undefined;
    }
    this.#text = apply(this.#text, edit);
    this.#edits.push({ author: sent.author, edit });
    for (const reader of [...this.#readers]) reader(edit, this.revision);
    return edit;
  }

  /** Tells a reader of every edit from now on; returns what ends that. */
  follow(reader: (edit: Edit, revision: number) => void): () => void {
    this.#readers.add(reader);
    return () => void this.#readers.delete(reader);
  }

  authors(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { author } of this.#edits) counts.set(author, (counts.get(author) ?? 0) + 1);
    return counts;
  }
}
