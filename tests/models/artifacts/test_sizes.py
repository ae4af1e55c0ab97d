import pytest
from qpi_live.models.artifacts.sizes import Sizes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1024", Sizes((1024, 1024), (1024, 1024), (1024, 1024))),
        ("1024x1280", Sizes((1024, 1280), (1024, 1280), (1024, 1280))),
        ("512-1024-2048", Sizes((512, 512), (1024, 1024), (2048, 2048))),
        ("512-1024x1280", Sizes((512, 512), (1024, 1280), (1024, 1280))),
    ],
)
def test_parse_reads_one_size_or_a_range_and_option_writes_it_back(text: str, expected: Sizes) -> None:
    assert Sizes.parse(text) == expected
    assert Sizes.parse(expected.option) == expected


@pytest.mark.parametrize("text", ["", "big", "1024x", "1-2-3-4", "-5", "2048-1024", "0"])
def test_parse_of_anything_else_says_what_it_takes(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Sizes.parse(text)


def test_why_not_names_both_sizes() -> None:
    sizes = Sizes.parse("512-1024x1280")
    assert sizes.why_not((512, 512)) is sizes.why_not((1024, 1280)) is sizes.why_not((700, 900)) is None
    assert sizes.why_not((1025, 1280)) == "expected frames of 512 × 512 … 1024 × 1280 px, got 1025 × 1280 px"
