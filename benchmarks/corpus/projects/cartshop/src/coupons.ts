import { percentOf, type Cents } from "./money.ts";

export interface Coupon {
  code: string;
  percent: number;
  /** The least sum of goods for which it counts. */
  from: Cents;
  /** Milliseconds since 1970; from then on it counts no more. */
  ends: number;
}

export class Coupons {
  #all = new Map<string, Coupon>();

  add(coupon: Coupon): void {
    this.#all.set(coupon.code.toUpperCase(), coupon);
  }

  /** What is taken off a sum; 0 for a code that does not count. */
  discount(code: string | undefined, sum: Cents, now: number): Cents {
    if (code === undefined) return 0;
    const coupon = this.#all.get(code.trim().toUpperCase());
    if (coupon === undefined || now >= coupon.ends || sum < coupon.from) return 0;
    return percentOf(sum, coupon.percent);
  }
}
