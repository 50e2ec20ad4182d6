import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.learning.batches import Batch, batch_slices


@given(n_examples=st.integers(0, 40), batch_size=st.integers(1, 12))
def test_batch_slices_drop_nothing_and_leave_no_single_example(n_examples, batch_size):
    batches = batch_slices(n_examples, batch_size)
    assert [row for rows in batches for row in range(n_examples)[rows]] == list(range(n_examples))
    sizes = [rows.stop - rows.start for rows in batches]
    assert 1 not in sizes or 1 in (n_examples, batch_size)
    assert max(sizes, default=0) <= batch_size + 1


def test_a_reordered_batch_keeps_what_belongs_together():
    batch = Batch(torch.arange(3.0).reshape(3, 1, 1, 1), torch.arange(3), torch.arange(3.0)[:, None])
    turned = batch[torch.tensor([2, 0, 1])]
    for column in (turned.images.flatten(), turned.labels, turned.log_q.flatten()):
        assert column.tolist() == [2, 0, 1]
    assert Batch(batch.images, batch.labels)[torch.tensor([0, 0, 0])].log_q is None
