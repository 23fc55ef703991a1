from smidgen.report.page import render_report

INTERVAL = {"rate": 0.5, "low": 0.4, "high": 0.6, "n": 10}
SCORES = {"bce": 0.1, "mse": 0.01, "psnr_db": None, "ssim": None, "legibility": INTERVAL}
RUN = {
    "version": "1",
    "command": "smidgen train '<b>.pkl'",
    "dataset": {"name": "<script>alert(1)</script>", "shape": [8, 8, 1], "sizes": {"train": 1, "val": 1, "test": 1},
                "noisy_range": [0, 1], "clean_range": [0, 1], "fresh": False, "licence": ""},
    "warnings": ["2 images & more"],
    "spec": {"kind": "plain"}, "settings": {"epochs": 1}, "ending": "finished", "best_epoch": 1, "best_val_loss": 0.1,
    "epochs_done": 1, "seconds": 60.0, "floor": 0.05, "verdict": {"fit": "converged", "reasons": ["a", "b"]},
    "evaluation": {
        "num_parameters": 1234, "budget": 3600, "split": "val", "n": 10, "truth_by": "reader", "no_legibility": None,
        "scores": SCORES | {"bce_floor": 0.05, "legibility": dict.fromkeys(("noisy", "denoised", "clean"), INTERVAL)},
        "baselines": {"median": SCORES | {"strength": 2}}, "legibility_by_digit": {"3": INTERVAL},
    },
}  # fmt: skip
FIGURES = {"strip": b"1", "curves": b"2", "first_pair": b"3"}


def test_names_from_strangers_are_escaped():
    """A file's name cannot put markup into the page."""
    page = render_report(RUN, FIGURES)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;.pkl" in page


def test_shows_scores_intervals_warnings_and_what_is_missing():
    """Scores come with intervals, warnings are shown, what has no meaning is a dash."""
    page = render_report(RUN, FIGURES)
    for part in (
        "1,234",
        "50.0%",
        "(40.0% to 60.0%)",
        "2 images &amp; more",
        "Converged",
        "at least 99 % sure",
        "– dB",
    ):
        assert part in page
