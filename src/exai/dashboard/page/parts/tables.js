// Tables. Of a long one, only the rows in sight are elements of the page.
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../core/html.js";

const ROW_PX = 32;
const SPARE = 12; // rows beyond those in sight, on either side
const VIRTUAL_FROM = 60;

/**
 * A table of rows.
 *
 * columns: [{ name, cell(row), isNumber, isHead, hidden, label }]; the one with `isHead` names its row.
 * caption: what it lists; it is read aloud, and not shown.
 * total: how many rows there are, where more than are here can be had by `more()`.
 */
export function Table({ columns, rows, keyOf, caption, total, more, tall = 18, mark }) {
  const isVirtual = rows.length >= VIRTUAL_FROM || Boolean(more);
  const box = useRef(null);
  const [from, setFrom] = useState(0);
  const [sight, setSight] = useState(tall);
  useEffect(() => {
    if (isVirtual && box.current) setSight(Math.ceil(box.current.clientHeight / ROW_PX) || tall);
  }, [isVirtual, rows.length]);
  useEffect(() => {
    if (from > rows.length) setFrom(0);
  }, [rows.length]);

  const scrolled = () => {
    const { scrollTop, clientHeight } = box.current;
    setFrom(Math.floor(scrollTop / ROW_PX));
    setSight(Math.ceil(clientHeight / ROW_PX));
    if (more && (scrollTop + clientHeight) / ROW_PX > rows.length - 2 * SPARE) more();
  };
  const first = isVirtual ? Math.max(0, Math.min(from, rows.length - sight) - SPARE) : 0;
  const last = isVirtual ? Math.min(rows.length, from + sight + SPARE) : rows.length;
  const shown = columns.filter((column) => !column.hidden);
  const space = (count, name) =>
    count > 0 && html`<tr key=${name} class="space" aria-hidden="true"><td colspan=${shown.length} style=${{ height: `${count * ROW_PX}px` }}></td></tr>`;
  return html`<div
    ref=${box}
    class="scroll ${isVirtual ? "tall" : ""}"
    role="region"
    aria-label=${caption}
    tabindex="0"
    onScroll=${isVirtual ? scrolled : undefined}
  >
    <table aria-rowcount=${isVirtual ? (total ?? (more ? -1 : rows.length + 1)) : undefined}>
      <caption>${caption}</caption>
      <thead>
        <tr aria-rowindex=${isVirtual ? 1 : undefined}>
          ${shown.map(
            (column) =>
              html`<th key=${column.name} scope="col" class=${column.isNumber ? "number" : ""}>
                ${column.label ?? column.name}
              </th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${space(first, "before")}
        ${rows.slice(first, last).map(
          (row, index) =>
            html`<tr key=${keyOf(row)} class=${mark?.(row) ?? ""} aria-rowindex=${isVirtual ? first + index + 2 : undefined}>
              ${shown.map((column) => {
                const kind = `${column.isNumber ? "number" : ""} ${column.kind ?? ""}`;
                return column.isHead
                  ? html`<th key=${column.name} scope="row" class=${kind}>${column.cell(row)}</th>`
                  : html`<td key=${column.name} class=${kind}>${column.cell(row)}</td>`;
              })}
            </tr>`,
        )}
        ${space(rows.length - last, "after")}
      </tbody>
    </table>
  </div>`;
}

/** The link of a row, which keys move to. */
export const RowLink = ({ href, children }) => html`<a data-row href=${href}>${children}</a>`;
/** What keys move to in a row that leads nowhere. */
export const RowName = ({ children }) => html`<span data-row tabindex="-1">${children}</span>`;
