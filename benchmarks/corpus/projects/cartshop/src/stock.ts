/** What is in stock, and what is held for carts. */
export class Stock {
  #counts = new Map<string, number>();
  #held = new Map<string, number>();

  put(sku: string, count: number): void {
    if (!Number.isInteger(count) || count < 0) throw new RangeError("count is a whole number");
    this.#counts.set(sku, (this.#counts.get(sku) ?? 0) + count);
  }

  free(sku: string): number {
    return (this.#counts.get(sku) ?? 0) - (this.#held.get(sku) ?? 0);
  }

  /** Holds items; false when there are not enough, and then nothing is held. */
  hold(sku: string, count: number): boolean {
    if (this.free(sku) < count) return false;
    this.#held.set(sku, (this.#held.get(sku) ?? 0) + count);
    return true;
  }

  release(sku: string, count: number): void {
    const held = this.#held.get(sku) ?? 0;
    this.#held.set(sku, Math.max(0, held - count));
  }

  /** Takes held items out of stock for good. */
  take(sku: string, count: number): void {
    const held = this.#held.get(sku) ?? 0;
    if (held < count) throw new Error(`not held: ${sku}`);
    this.#held.set(sku, held - count);
    this.#counts.set(sku, (this.#counts.get(sku) ?? 0) - count);
  }
}
