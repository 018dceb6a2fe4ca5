export interface Item {
  id: string;
  title: string;
  link: string;
  /** Milliseconds since 1970. */
  at: number;
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

export function decode(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => ENTITIES[name] ?? "");
}

export function escapeHtml(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

function tag(block: string, name: string): string | undefined {
  const found = new RegExp(`<${name}[^>]*>([\\s\\S]*?)</${name}>`).exec(block);
  return found?.[1] === undefined ? undefined : decode(found[1].trim());
}

/** Reads the items of a feed; one without id, or whose link is no web address, is left out. */
export function parse(xml: string): Item[] {
  const items: Item[] = [];
  for (const [, block = ""] of xml.matchAll(/<item>([\s\S]*?)<\/item>/g)) {
    const id = tag(block, "guid") ?? tag(block, "link");
    const link = tag(block, "link") ?? "";
    const at = Date.parse(tag(block, "pubDate") ?? "");
    if (id === undefined || !/^https?:\/\//.test(link)) continue;
    items.push({ id, title: tag(block, "title") ?? "(untitled)", link, at: Number.isNaN(at) ? 0 : at });
  }
  return items;
}

/** A list of links; texts of feeds cannot be markup in it. */
export function toHtml(items: Item[]): string {
  const rows = items.map((item) => `<li><a href="${escapeHtml(item.link)}">${escapeHtml(item.title)}</a></li>`);
  return `<ul>${rows.join("")}</ul>`;
}
