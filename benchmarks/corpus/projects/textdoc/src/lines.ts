export interface Place {
  line: number;
  column: number;
}

/** Line and column of a place, both from 1. */
export function placeOf(text: string, offset: number): Place {
  if (offset < 0 || offset > text.length) throw new RangeError(`no such place: ${offset}`);
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: before[before.length - 1]!.length + 1 };
}

/** The reverse of `placeOf`; a column beyond the line is its end. */
export function offsetOf(text: string, place: Place): number {
  const lines = text.split("\n");
  const line = lines[place.line - 1];
  if (line === undefined || place.column < 1) throw new RangeError(`no such line: ${place.line}`);
  const before = lines.slice(0, place.line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  return before + Math.min(place.column - 1, line.length);
}
