"""A row's key is (tags, time): of rows with one key, each column keeps the last value that was not null."""

import random

import pytest

from tests.store.store_process import StoreProcess


def test_duplicates_in_one_batch_collapse_in_their_order(store: StoreProcess) -> None:
    store.write("u_batch,s=a x=1,y=1 5\nu_batch,s=b x=9 6\nu_batch,s=a x=2 5\nu_batch,s=a x=3,y=3 5\nu_batch,s=a x=4 5")

    assert store.rows("SELECT s, x, y FROM u_batch ORDER BY s") == [
        {"s": "a", "x": 4.0, "y": 3.0},
        {"s": "b", "x": 9.0},
    ]


def test_last_line_wins_also_between_lines_of_different_fields(store: StoreProcess) -> None:
    store.write("u_shapes,s=b x=1,y=1 5\nu_shapes,s=a x=2 5\nu_shapes,s=a x=3,y=3 5")

    assert store.rows("SELECT x, y FROM u_shapes WHERE s = 'a'") == [{"x": 3.0, "y": 3.0}]


def test_missing_tag_is_a_key_of_its_own(store: StoreProcess) -> None:
    store.write("u_null x=1 5\nu_null,s=a x=2 5\nu_null,s=a,t=b x=3 5")

    store.write("u_null x=4 5\nu_null,s=a x=5 5\nu_null,s=a,t=b x=6 5")

    assert [row["x"] for row in store.rows("SELECT x FROM u_null ORDER BY x")] == [4.0, 5.0, 6.0]


def test_out_of_order_rows_arrive_beside_newer_ones(store: StoreProcess) -> None:
    store.write("u_late,s=a x=1 10")

    store.write("u_late,s=a x=2 5\nu_late,s=a x=3 20\nu_late,s=b x=4 1")

    assert [row["x"] for row in store.rows("SELECT x FROM u_late ORDER BY s, time")] == [2.0, 1.0, 3.0, 4.0]


def test_table_without_tags_is_keyed_by_time_alone(store: StoreProcess) -> None:
    store.write("u_plain x=1 5")

    store.write("u_plain x=2 5\nu_plain x=3 6")

    assert [row["x"] for row in store.rows("SELECT x FROM u_plain ORDER BY time")] == [2.0, 3.0]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_overlapping_batches_gives_what_a_dictionary_gives(store: StoreProcess, seed: int) -> None:
    chance, table = random.Random(seed), f"u_random_{seed}"  # noqa: S311 - repeatable, not secret
    expected: dict[tuple[str | None, int], dict[str, float]] = {}
    for _ in range(12):
        lines = []
        for value in range(30):
            tag, time = chance.choice(["a", "b", None]), chance.randrange(40)
            fields = {name: float(value) for name in chance.sample("xyz", chance.randint(1, 3))}
            expected.setdefault((tag, time), {}).update(fields)
            written = ",".join(f"{name}={number}" for name, number in fields.items())
            lines.append(f"{table}{f',s={tag}' if tag else ''} {written} {time}")
        assert store.write("\n".join(lines)).status_code == 204

    rows = store.rows(f"SELECT s, epoch_us(time) AS t, x, y, z FROM {table}")

    assert {(row.pop("s", None), row.pop("t")): row for row in rows} == expected
    assert len(rows) == len(expected)


def test_identical_resend_changes_nothing_also_after_a_restart(own_store: StoreProcess) -> None:
    lines = "\n".join(f'r,s=s{n % 7} v={n},text="t{n}" {n // 7 * 1000}' for n in range(2000))
    own_store.write(lines)
    before = own_store.rows("SELECT * FROM r ORDER BY s, time")

    own_store.write(lines)
    assert own_store.stop() == 0
    own_store.start()
    own_store.write(lines)

    assert own_store.rows("SELECT * FROM r ORDER BY s, time") == before
    assert len(before) == 2000


def test_every_204_survives_kill_9(own_store: StoreProcess) -> None:
    for n in range(20):
        assert own_store.write(f"k,s=a v={n},f{n % 3}=true {n}\nk{n},s=a v=1 1").status_code == 204

    own_store.kill()
    own_store.start()

    assert [row["v"] for row in own_store.rows("SELECT v FROM k ORDER BY time")] == [float(n) for n in range(20)]
    assert len(own_store.rows("SHOW TABLES")) == 21
    assert own_store.write("k,s=a v=100,f1=false 7").status_code == 204
    assert own_store.rows("SELECT v, f1 FROM k WHERE epoch_us(time) = 7") == [{"v": 100.0, "f1": False}]
    assert own_store.write("k,s=a,new=b v=1 7\nk s=1 8").json()["data"][0]["line_number"] == 2
