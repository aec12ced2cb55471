"""A lease is known by its pod's name alone: whose it is, and when it has to be gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provision.pods.cloud import Pod, State
from provision.pods.lease import PREFIX, Lease, is_expired, lease_of, new_lease

NONCE = "k3f9a2xq"


@given(
    project=st.text(max_size=200),
    now=st.floats(min_value=0, max_value=4e9),
    seconds=st.floats(min_value=0, max_value=9e7),
)
def test_a_name_tells_what_went_into_it(project, now, seconds):
    lease = new_lease(project, now, seconds, NONCE)

    assert lease_of(str(lease)) == lease
    assert abs(lease.deadline - (now + seconds)) <= 2


@given(st.text(max_size=300))
def test_a_name_is_short_and_needs_no_quotes_whatever_the_project_is_called(project):
    name = str(new_lease(project, 1_790_000_000.0, 3600, NONCE))

    assert len(name) < 100
    assert name.startswith(PREFIX)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-TZ")


def test_a_name_reads_well():
    assert str(new_lease("Wan22/I2V", 1_790_000_000.9, 14_400, NONCE)) == (
        "provision-wan22-i2v-20260921T141320Z-14400s-k3f9a2xq"
    )


@given(st.one_of(st.text(), st.from_regex(r"provision-[a-z-]{0,9}-\d{8}T\d{6}Z-\d{1,9}s-[a-z0-9]{7,9}")))
def test_other_peoples_names_are_no_leases_and_never_a_fault(name):
    lease = lease_of(name)
    assert lease is None or str(lease) == name


def test_names_of_other_pods_are_left_alone():
    for name in ("", "my-training", "provision-", "provision-x-99999999T999999Z-60s-k3f9a2xq", "x" + str(lease())):
        assert lease_of(name) is None
        assert not is_expired(pod(name), 9e9)


def test_a_lease_is_over_at_its_deadline():
    assert not is_expired(pod(str(lease())), lease().deadline - 1)
    assert is_expired(pod(str(lease())), lease().deadline)


def lease() -> Lease:
    return new_lease("p", 1_790_000_000.0, 3600, NONCE)


def pod(name: str) -> Pod:
    return Pod(id="x", name=name, state=State.RUNNING, is_up=True)
