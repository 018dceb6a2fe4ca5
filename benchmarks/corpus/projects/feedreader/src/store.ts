import type { Item } from "./parse.ts";

/** Keeps the newest items of every feed, and knows which were there already. */
export class Store {
  #items = new Map<string, Map<string, Item>>();
  #most: number;

  constructor(most: number) {
    if (most < 1) throw new RangeError("a store keeps at least one item");
    this.#most = most;
  }

  /** Adds items of a feed; returns those that are new, the newest first. */
  add(feed: string, items: Item[]): Item[] {
    const known = this.#items.get(feed) ?? new Map<string, Item>();
    const fresh = items.filter((item) => !known.has(item.id));
    for (const item of fresh) known.set(item.id, item);
    this.#items.set(feed, new Map(newestFirst([...known.values()]).slice(0, this.#most).map((item) => [item.id, item])));
    return newestFirst(fresh);
  }

  /** Returns a page of a feed; pages count from 1. */
  page(feed: string, number: number, size: number): Item[] {
    const all = newestFirst([...(this.#items.get(feed)?.values() ?? [])]);
    return all.slice((number - 1) * size, number * size);
  }
}

export function newestFirst(items: Item[]): Item[] {
  return [...items].sort((one, other) => other.at - one.at || one.id.localeCompare(other.id));
}
