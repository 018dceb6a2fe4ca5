"""Usage and cost add up, and what is unknown is never taken for nothing."""

from exai.costs import Bill, Cost, Usage


def test_reported_tokens_add_up_and_silence_is_no_zero() -> None:
    one = Usage(input=10, cached=4, output=5, reasoning=2)
    assert one + Usage(input=1, output=2, cache_write=7) == Usage(
        input=11, cached=4, output=7, reasoning=2, cache_write=7
    )
    assert Usage() + Usage() == Usage()
    assert Usage() + one == one + Usage() == one


def test_costs_add_up_item_by_item() -> None:
    first = Cost({"input": 0.1, "output": 0.2})
    both = first + Cost({"input": 0.3, "search": 0.005})
    assert both == Cost({"input": 0.4, "output": 0.2, "search": 0.005})
    assert both.usd == 0.605
    assert first == Cost({"input": 0.1, "output": 0.2}), "a value stays what it was"
    assert Cost() + first == first + Cost() == first


def test_one_unknown_part_leaves_no_total_and_keeps_what_is_known() -> None:
    total = Cost({"input": 0.1}) + Cost(unknown=("no price",)) + Cost({"output": 0.2}, ("no price", "no fee"))
    assert total.usd is None
    assert total.known_usd == 0.3
    assert total.unknown == ("no price", "no fee")
    assert not total.free


def test_free_is_known_to_be_nothing_and_nothing_is_not_known_to_be_free() -> None:
    free = Cost({"input": 0.0, "output": 0.0})
    assert (free.usd, free.free) == (0.0, True)
    assert (Cost().usd, Cost().free) == (None, False)
    assert not (free + Cost({"search": 0.005})).free


def test_a_bill_gathers_every_request_and_fee() -> None:
    bill = Bill()
    assert (bill.usage, bill.cost.usd) == (None, None)
    bill.add(Cost({"input": 0.1}), Usage(input=10))
    bill.add(Cost({"search": 0.005}))
    bill.add(Cost({"input": 0.2}), Usage(input=20, output=1))
    assert bill.usage == Usage(input=30, output=1)
    assert bill.cost.usd == 0.305
