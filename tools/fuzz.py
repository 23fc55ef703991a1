"""Fuzz the readers of foreign files, guided by coverage.

    pip install atheris
    python tools/fuzz.py [--only NAME…] [--runs 200000] [--seconds 600] [--corpus FOLDER]

Each reader runs in a process of its own until it has done so many runs or so much time is gone. A line of
figures comes of it (runs, seconds of a processor and of the clock, edges covered, peak MiB), and the file it broke on,
if any, as `FOLDER/NAME/crash…`. A run that takes 20 s of the clock or 1 GiB counts as broken too, as does a warning.
"""

import argparse
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
MEMORY = Path("/dev/shm")  # noqa: S108 (only the folder that tempfile makes there is used)
OWN_MEBIBYTES = 320  # what fuzzing takes without any file
INSTRUMENTED = ["smidgen", "tifffile", "png", "tomllib", "numpy.lib._format_impl"]


def fuzz_here(name: str, folder: Path, flags: list[str]) -> None:
    """Fuzz in this process, which libFuzzer may end."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzzing import READERS
    import warnings

    from tests.fuzzing_reader import change_record

    reader = READERS[name]
    for number, seed in enumerate(reader.seeds):
        (folder / f"seed{number}").write_bytes(seed)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        """Of a record every other time a value, since few changes of its bytes leave it whole."""
        changed = change_record(content, random.Random(seed)) if reader.record and seed % 2 else content
        return changed if content != changed and len(changed) <= most else atheris.Mutate(content, most)

    def try_on(content: bytes) -> None:
        try:
            reader.try_on(content)
        except BaseException:
            (folder / "crash").write_bytes(content)  # which atheris does not do in every version
            raise

    warnings.simplefilter("error")
    atheris.Setup([sys.argv[0], *flags, str(folder)], try_on, custom_mutator=mutate)
    atheris.Fuzz()


def children_seconds() -> float:
    """Of a processor, that the processes which have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fuzz(name: str, args: argparse.Namespace) -> bool:
    """One line of figures; whether nothing broke."""
    folder: Path = args.corpus / name.replace(" ", "-").replace(",", "")
    folder.mkdir(parents=True, exist_ok=True)
    flags = [f"-atheris_runs={args.runs}", f"-max_total_time={args.seconds}", f"-artifact_prefix={folder}/"]
    flags += ["-timeout=20", f"-rss_limit_mb={1024 + OWN_MEBIBYTES}", "-max_len=65536"]
    command = [sys.executable, __file__, "--here", name, str(folder), *flags]
    before = children_seconds()
    # Readers of files take longer to write them than to read them, unless that is to memory.
    with tempfile.TemporaryDirectory(prefix="smidgen-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        environment = os.environ | {"TMPDIR": scratch}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    computed = children_seconds() - before
    folder.with_name(f"{folder.name}.log").write_text(done.stdout + done.stderr)
    ends = re.findall(r"^Done (\d+) (?:runs )?in (\d+) second", done.stderr, re.MULTILINE)
    runs, seconds = ends[-1] if ends else ("0", "?")
    peak = max(map(int, re.findall(r"rss: (\d+)Mb", done.stderr)), default="?")
    covered = re.findall(r"cov: (\d+)", done.stderr)[-1:] or "?"
    # The clock that libFuzzer measures runs with may go off after the last, when nobody listens any more.
    whole = done.returncode in (0, -signal.SIGALRM) and runs != "0"
    broken = "none" if whole else f"see {folder}"
    print(f"| {name} | {int(runs):,} | {computed:.0f} | {seconds} | {covered[0]} | {peak} | {broken} |", flush=True)
    return whole


def main() -> int:
    from tests.fuzzing import READERS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS), metavar="NAME")
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path)
    args = parser.parse_args()
    if args.corpus is None:
        args.corpus = Path(tempfile.mkdtemp(prefix="smidgen-fuzz-"))
    broken = [name for name in args.only if not fuzz(name, args)]
    return 1 if broken else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        fuzz_here(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        sys.exit(main())
