/** Amounts are whole cents. */
export type Cents = number;

export interface Price {
  cents: Cents;
  taxRate: number;
}

/** Rounds half away from zero, so that refunds mirror sales. */
export function roundCents(value: number): Cents {
  return Math.sign(value) * Math.round(Math.abs(value));
}

export function taxOf(net: Cents, rate: number): Cents {
  return roundCents(net * rate);
}

/** Takes a share of an amount; `percent` is 0 to 100. */
export function percentOf(cents: Cents, percent: number): Cents {
  if (percent < 0 || percent > 100) throw new RangeError(`percent out of range: ${percent}`);
  return roundCents((cents * percent) / 100);
}

export function format(cents: Cents, currency = "EUR"): string {
  const sign = cents < 0 ? "-" : "";
  const value = Math.abs(cents);
  return `${sign}${Math.floor(value / 100)}.${String(value % 100).padStart(2, "0")} ${currency}`;
}
