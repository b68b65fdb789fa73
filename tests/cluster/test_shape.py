import pytest

from cluster.shape import Shape


@pytest.mark.parametrize(
    ("height", "width", "resolution"),
    [
        (64, 96, "64p"),
        (96, 64, "64p"),
        (128, 128, "128p"),
        (480, 848, "480p"),
        (512, 512, "512p"),
        (1088, 1920, "1088p"),
        (1089, 1920, "1440p"),
    ],
)
def test_a_resolution_is_the_first_that_the_short_side_does_not_pass(height: int, width: int, resolution: str) -> None:
    assert Shape(height=height, width=width, num_frames=16).resolution == resolution


def test_what_passes_all_of_them_is_larger() -> None:
    assert Shape(height=2161, width=4000, num_frames=1).resolution == "larger"
