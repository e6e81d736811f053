import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from acsnet_jax.clinical import predicted_regions
from acsnet_jax.report import drawing


def test_the_outline_runs_along_pixel_edges():
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:6] = True
    path = drawing.outline(mask)
    assert path is not None
    # Columns 2 to 5 reach from 1.5 to 5.5, rows 1 to 3 from 0.5 to 3.5.
    np.testing.assert_array_equal(path.get_extents().extents, [1.5, 0.5, 5.5, 3.5])


def test_the_outline_closes_at_the_border_of_the_image():
    path = drawing.outline(np.ones((4, 5), bool))
    assert path is not None
    np.testing.assert_array_equal(path.get_extents().extents, [-0.5, -0.5, 4.5, 3.5])
    assert drawing.outline(np.zeros((4, 5), bool)) is None


def test_a_filled_ring_leaves_its_cavity_free():
    mask = np.ones((40, 40), bool)
    mask[15:25, 15:25] = False
    figure = Figure((2.0, 2.0), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(-0.5, 39.5), ylim=(39.5, -0.5))
    axes.set_axis_off()
    drawing.fill(axes, mask, "red", alpha=1.0)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    assert tuple(pixels[100, 100, :3]) == (255, 255, 255)
    assert tuple(pixels[20, 20, :3]) == (255, 0, 0)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (2.0, 1.0)])
def test_the_crop_is_a_square_in_mm_around_all_masks(spacing_mm):
    masks = np.zeros((2, 1, 100, 200), bool)
    masks[0, 0, 40:50, 90:100] = masks[1, 0, 45:60, 95:101] = True
    box = drawing.crop_box(list(masks), spacing_mm, margin_mm=8.0)
    assert box.rows.start <= 40 and box.rows.stop >= 60
    assert box.columns.start <= 90 and box.columns.stop >= 101
    height, width = (
        (side.stop - side.start) * step for side, step in zip(box, spacing_mm, strict=True)
    )
    assert height == pytest.approx(width)
    assert height == pytest.approx(20 * spacing_mm[0] + 16.0)


def test_the_crop_stays_inside_and_shows_all_if_nothing_is_marked():
    mask = np.zeros((1, 50, 60), bool)
    assert drawing.crop_box([mask], (1.0, 1.0)) == (slice(0, 50), slice(0, 60))
    mask[0, 1, 58] = True
    box = drawing.crop_box([mask], (1.0, 1.0), margin_mm=5.0)
    assert box == (slice(0, 11), slice(49, 60))


def test_a_flat_image_still_has_a_window(make_segmentation):
    segmentation = make_segmentation()
    flat = segmentation.scan.replace(image=np.zeros_like(segmentation.scan.image))
    view = drawing.view_of(flat, [predicted_regions(segmentation)])
    assert view.white > view.black
    assert view.aspect == pytest.approx(1.5 / 1.25)


def test_a_layout_is_settled_to_a_millionth(tmp_path):
    """Last bits of a place would change the shade of pixels on edges from run to run."""
    figure = Figure(layout="constrained")
    figure.subplots(2, 3)
    layout = figure.add_gridspec(1, 2)
    for column in range(2):
        figure.add_subfigure(layout[0, column]).add_subplot()
    drawing.save(figure, tmp_path / "a.png")
    bounds = np.array([axes.get_position(original=True).bounds for axes in figure.axes])
    assert len(bounds) == 8
    np.testing.assert_allclose(bounds, np.round(bounds, 6), rtol=0, atol=1e-12)
    assert all(axes.get_in_layout() for axes in figure.axes)
    first = (tmp_path / "a.png").read_bytes()
    drawing.save(figure, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == first
