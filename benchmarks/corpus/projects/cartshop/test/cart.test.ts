import assert from "node:assert/strict";
import { test } from "node:test";
import { Cart } from "../src/cart.ts";
import { Coupons } from "../src/coupons.ts";
import { format, percentOf, roundCents } from "../src/money.ts";
import { Stock } from "../src/stock.ts";

const PRICES = new Map([
  ["tea", { cents: 450, taxRate: 0.07 }],
  ["pot", { cents: 2000, taxRate: 0.19 }],
]);

function shop() {
  const stock = new Stock();
  stock.put("tea", 5);
  stock.put("pot", 1);
  const coupons = new Coupons();
  coupons.add({ code: "Spring", percent: 10, from: 2000, ends: 1000 });
  return { stock, cart: new Cart(PRICES, stock, coupons) };
}

test("money", () => {
  assert.equal(roundCents(-2.5), -3);
  assert.equal(roundCents(2.5), 3);
  assert.equal(format(-1205), "-12.05 EUR");
  assert.equal(percentOf(999, 50), 500);
  assert.throws(() => percentOf(1, 101), RangeError);
});

test("the stock holds what carts hold", () => {
  const { stock, cart } = shop();
  assert.equal(cart.set("tea", 4), true);
  assert.equal(stock.free("tea"), 1);
  assert.equal(cart.set("tea", 6), false);
  assert.deepEqual(cart.lines(), [{ sku: "tea", count: 4 }]);
  assert.equal(cart.set("tea", 1), true);
  assert.equal(stock.free("tea"), 4);
  cart.set("tea", 0);
  assert.deepEqual(cart.lines(), []);
  assert.throws(() => cart.set("cup", 1));
  assert.throws(() => cart.set("tea", 1.5), RangeError);
  assert.throws(() => stock.take("tea", 1));
});

test("totals with and without a coupon", () => {
  const { cart } = shop();
  cart.set("pot", 1);
  cart.set("tea", 2);
  assert.deepEqual(cart.totals(0), { goods: 2900, discount: 0, tax: 443, due: 3343 });
  cart.code = " spring ";
  assert.deepEqual(cart.totals(999), { goods: 2900, discount: 290, tax: 399, due: 3009 });
  assert.equal(cart.totals(1000).discount, 0);
  cart.set("pot", 0);
  assert.equal(cart.totals(0).discount, 0);
});

test("a check-out sells", () => {
  const { stock, cart } = shop();
  cart.set("pot", 1);
  cart.code = "spring";
  assert.equal(cart.checkOut(0).due, 1800 + 342);
  assert.equal(stock.free("pot"), 0);
  assert.deepEqual(cart.lines(), []);
  assert.equal(cart.code, undefined);
  assert.equal(cart.set("pot", 1), false);
});
