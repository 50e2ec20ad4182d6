"""Where processes that train together meet, and by what they talk."""

from stages.learning.meeting import _interface, backend_of


def test_nccl_is_for_gpus_of_their_own():
    assert backend_of(["a", "b"]) == "cpu:gloo,cuda:nccl"
    assert backend_of(["a", "a"]) == backend_of(["", ""]) == backend_of(["a", ""]) == "gloo"


def test_the_interface_of_an_address_is_found():
    assert _interface("127.0.0.1") == "lo"
    assert _interface("192.0.2.1") == ""
