from bridge import fingerprints
from bridge.fingerprints import Fingerprints, entry, split_entries


def test_fingerprint_is_packet_id_and_digest_of_topic_and_payload() -> None:
    known = entry(258, "a", b"b")

    assert len(known) == 14
    assert known[:2] == b"\x01\x02"
    assert len({known, entry(258, "ab", b""), entry(258, "", b"ab"), entry(258, "a", b"c"), entry(7, "a", b"b")}) == 5


def test_fingerprint_is_another_for_each_subscription() -> None:
    assert len({entry(7, "a", b"b", ids) for ids in ([], [1], [256], [268_435_455])}) == 4


def test_fingerprint_without_a_subscriptions_identifier_is_what_it_was_before_there_were_any() -> None:
    assert entry(7, "a", b"b").hex() == entry(7, "a", b"b", []).hex() == "00075f9bf221bb2f0e9f33d31a72"


def test_entries_come_back_out_of_a_row() -> None:
    entries = [entry(number, "t", b"p") for number in range(1, 100)]

    assert list(split_entries(b"".join(entries))) == entries
    assert list(split_entries(b"")) == []


def test_fingerprint_is_known_until_its_packet_id_is_used_again() -> None:
    seen = Fingerprints([entry(1, "t", b"p")])
    assert entry(1, "t", b"p") in seen

    seen.add(entry(1, "t", b"q"))

    assert entry(1, "t", b"p") not in seen
    assert entry(1, "t", b"q") in seen


def test_fingerprint_leaves_the_window_before_packet_ids_come_again() -> None:
    assert fingerprints.WINDOW < 65_535
    seen = Fingerprints([entry(1, "t", b"p")])

    for packet_id in range(2, fingerprints.WINDOW + 1):
        seen.add(entry(packet_id, "t", b"p"))
    assert entry(1, "t", b"p") in seen

    seen.add(entry(fingerprints.WINDOW + 1, "t", b"p"))
    assert entry(1, "t", b"p") not in seen


def test_new_session_knows_nothing() -> None:
    seen = Fingerprints([entry(1, "t", b"p")])

    seen.clear()

    assert entry(1, "t", b"p") not in seen
