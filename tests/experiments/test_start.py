"""What the study of the start says of curves."""

from experiments.start.curves import row_of


def test_the_table_says_when_one_start_reaches_what_the_other_ends_at():
    gaussian = {0: 1.0, 10: 0.5, 20: 0.25}
    normal = {0: 3.0, 10: 2.0, 20: 0.75}
    row = row_of("mel", [(gaussian, normal), ({0: 1.0, 10: 0.9}, {0: 3.0, 10: 0.5})])
    assert row == [
        "mel",
        "3.000 ± 0.000",
        "1.000 ± 0.000",
        "0.625 ± 0.177",
        "0.575 ± 0.460",
        "20, 10",
        "20, 10",
        "10, 10",
    ]
