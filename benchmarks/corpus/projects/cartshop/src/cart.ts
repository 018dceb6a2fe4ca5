import type { Coupons } from "./coupons.ts";
import { taxOf, type Cents, type Price } from "./money.ts";
import type { Stock } from "./stock.ts";

export interface Totals {
  goods: Cents;
  discount: Cents;
  tax: Cents;
  due: Cents;
}

export class Cart {
  #counts = new Map<string, number>();
  #prices: ReadonlyMap<string, Price>;
  #stock: Stock;
  #coupons: Coupons;
  code: string | undefined;

  constructor(prices: ReadonlyMap<string, Price>, stock: Stock, coupons: Coupons) {
    this.#prices = prices;
    this.#stock = stock;
    this.#coupons = coupons;
  }

  /** Sets how many of an item are in the cart; false when the stock lacks them, and then nothing changes. */
  set(sku: string, count: number): boolean {
    if (!this.#prices.has(sku)) throw new Error(`unknown item: ${sku}`);
    if (!Number.isInteger(count) || count < 0) throw new RangeError("count is a whole number");
    const before = this.#counts.get(sku) ?? 0;
    if (count > before && !this.#stock.hold(sku, count - before)) return false;
    if (count < before) this.#stock.release(sku, before - count);
    if (count === 0) this.#counts.delete(sku);
    else this.#counts.set(sku, count);
    return true;
  }

  lines(): { sku: string; count: number }[] {
    return [...this.#counts].map(([sku, count]) => ({ sku, count }));
  }

  /** Tax is of what is left after the discount, which is spread over the lines by their share. */
  totals(now: number): Totals {
    let goods = 0;
    for (const [sku, count] of this.#counts) goods += this.#price(sku).cents * count;
    const discount = this.#coupons.discount(this.code, goods, now);
    let tax = 0;
    for (const [sku, count] of this.#counts) {
      const line = this.#price(sku).cents * count;
      const share = goods === 0 ? 0 : (discount * line) / goods;
      tax += taxOf(line - share, this.#price(sku).taxRate);
    }
    return { goods, discount, tax, due: goods - discount + tax };
  }

  /** Sells what is in the cart and empties it. */
  checkOut(now: number): Totals {
    const totals = this.totals(now);
    for (const [sku, count] of this.#counts) this.#stock.take(sku, count);
    this.#counts.clear();
    this.code = undefined;
    return totals;
  }

  #price(sku: string): Price {
    const price = this.#prices.get(sku);
    if (price === undefined) throw new Error(`no price: ${sku}`);
    return price;
  }
}
