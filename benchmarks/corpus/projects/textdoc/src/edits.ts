/** Replaces the characters `from` to `to` (not included) by `text`. */
export interface Edit {
  from: number;
  to: number;
  text: string;
}

export function check(edit: Edit, length: number): void {
  if (edit.from < 0 || edit.to < edit.from || edit.to > length) {
    throw new RangeError(`no such range: ${edit.from}-${edit.to} of ${length}`);
  }
}

export function apply(text: string, edit: Edit): string {
  check(edit, text.length);
  return text.slice(0, edit.from) + edit.text + text.slice(edit.to);
}

/** The edit that takes another one back, for the text before it. */
export function inverse(text: string, edit: Edit): Edit {
  check(edit, text.length);
  return { from: edit.from, to: edit.from + edit.text.length, text: text.slice(edit.from, edit.to) };
}

/** Where a place is after an edit; one inside of what was replaced moves to its end. */
export function moved(place: number, edit: Edit): number {
  if (place <= edit.from) return place;
  if (place >= edit.to) return place + edit.text.length - (edit.to - edit.from);
  return edit.from + edit.text.length;
}

/** An edit as it must be after another one was made before it; one that touches replaced text has no form. */
export function rebased(edit: Edit, earlier: Edit): Edit | undefined {
  const overlaps = edit.from < earlier.to && earlier.from < edit.to;
  if (overlaps) return undefined;
  return { from: moved(edit.from, earlier), to: moved(edit.to, earlier), text: edit.text };
}
