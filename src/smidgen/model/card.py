"""The model card: what a model is for, how good it is, and where it fails."""

from smidgen.errors import plural
from smidgen.model.records import ModelInfo
from smidgen.network.layers import Kind, Network

_WHITE = {"gaussian-noise", "poisson-noise", "poisson-gaussian"}  # noise that neighbours do not share


def write_card(name: str, info: ModelInfo) -> str:
    """The card as Markdown.

    Args:
        name: the heading.
        info: what the model file says about itself.
    """
    network = info.spec.network()
    sections = [
        f"# {name}",
        _describe(info, network),
        "## Intended use",
        _use(info),
        "## Scores",
        _scores(info),
        "## Limits",
        _limits(info, network),
        "## Training",
        _training(info),
    ]
    return "\n\n".join(sections) + "\n"


def _describe(info: ModelInfo, network: Network) -> str:
    height, width = info.size
    residual = " What comes out is what went in, less what the network finds in it."
    return (
        f"An image denoiser with {plural(info.spec.num_parameters, 'learned number')}, for a budget of {info.budget:,} "
        f"({4 * info.spec.num_parameters:,} bytes of float32 weights). {_channels(info)} in "
        f"and out, any size.{residual if info.spec.output == Kind.RESIDUAL else ''} "
        f"{network.multiply_accumulates_per_pixel:,.0f} multiply-accumulates per pixel; each pixel depends on others "
        f"up to {plural(network.reach, 'pixel')} away; {network.work_bytes(height, width):,} bytes of work memory at "
        f"{height} x {width}."
    )


def _channels(info: ModelInfo) -> str:
    if info.spec.channels > 1:
        return f"{info.spec.channels} channels"
    how = "as luma and chroma" if info.takes_luma_and_chroma else "channel by channel"
    return f"One channel (colour images are processed {how})"


def _use(info: ModelInfo) -> str:
    size = f", {info.origin.size} in size" if info.origin.size else ""
    if info.origin.resolution:
        low, high = info.origin.resolution
        size = f" of {low:.0f} to {high:.0f} pixels an inch"
    name = f"`{info.origin.name or 'unknown'}`"
    made = info.origin.corrupted
    images = f"images like those of {name}, corrupted by `{made}`" if made else f"images corrupted like those of {name}"
    return (
        f"For {images}{size}. It takes noisy values on the "
        f"scale {info.scales.noisy} and gives denoised values on {info.scales.clean}. Meant for cleaning images before "
        "a person or a program reads them."
    )


def _scores(info: ModelInfo) -> str:
    judged = info.judged
    if judged is None:
        return "None recorded."
    scores, legibility = judged.scores, judged.scores.legibility
    lines = [
        f"On {plural(judged.n, 'pair')} of `{judged.pairs}`, {judged.split} part:",
        "",
        f"- binary cross-entropy {scores.bce:.4f} (no model can go below {scores.bce_floor:.4f} on these)",
        f"- mean squared error {scores.mse:.2e}",
        f"- PSNR {_show(scores.psnr_db, '.2f')} dB, SSIM {_show(scores.ssim, '.3f')}",
    ]
    if legibility:
        denoised = legibility.denoised
        lines.append(
            f"- legible: {denoised.rate:.1%} (95% interval {denoised.low:.1%} to {denoised.high:.1%}) as "
            f"read by {'Tesseract' if scores.misread else 'a digit reader'} that never saw a denoised image; "
            f"noisy {legibility.noisy.rate:.1%}, clean {legibility.clean.rate:.1%}"
        )
    if judged.split != "test":
        lines += ["", "The model was chosen on these pairs; expect slightly worse scores on others."]
    return "\n".join(lines)


def _show(score: float | None, form: str) -> str:
    """A score; one that was not finite is kept as None."""
    return "∞" if score is None else format(score, form)


def _limits(info: ModelInfo, network: Network) -> str:
    sentences = ["It has seen no other kind of image and no other corruption."]
    if info.spec.output == Kind.RESIDUAL:
        sentences.append("Fine texture that looks like the noise is smoothed away with it.")
        made = info.origin.corrupted
        if made and {step.kind for step in made.steps} <= _WHITE:
            sentences.append(
                "The noise it knows is another at each pixel: what a camera or JPEG has smeared over neighbours "
                "it takes for structure, and leaves most of it."
            )
    else:
        sentences.append(
            "It paints what it knows: an unreadable stroke may become a wrong but clean one, and what looks like "
            "the corruption is removed even where it is real. Where a wrong reading does harm, look at the noisy "
            "image, too."
        )
    sentences.append(f"It cannot see structures larger than {plural(network.reach, 'pixel')} as a whole.")
    mean = info.origin.means.get("noisy")
    if mean is not None and info.spec.output != Kind.RESIDUAL:
        sentences.append(
            f"The training images had a mean of {mean:.2f} of full scale; images far from that may be inverted."
        )
    return " ".join(sentences)


def _training(info: ModelInfo) -> str:
    origin, recipe = info.origin, info.recipe
    pairs = ", ".join(f"{count:,} {part}" for part, count in origin.sizes.items())
    lines = [f"- pairs: {pairs or 'unknown'}{', corrupted afresh each epoch' if origin.fresh else ''}"]
    if origin.corrupted:
        made = f"made of the clean ones by `{origin.corrupted}`; those of validation and test by seed"
        lines.append(f"- noisy images: {made} {origin.corrupted.seed}")
    if origin.without_clean:
        lines.append(f"- no clean images: learned from {origin.without_clean}")
    if recipe:
        lines.append(
            f"- {recipe.optimizer}, {plural(recipe.epochs, 'epoch')} in batches of {recipe.batch_size}, "
            f"loss {recipe.loss}, seed {recipe.seed}, epoch {info.best_epoch} kept"
        )
    lines.append(f"- licence of the images: {origin.licence or 'that of your pairs'}")
    return "\n".join(lines)
