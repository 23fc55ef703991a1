"""Stores of Zarr: where they are, which chunks are there, and new ones that say what they were made from."""

import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smidgen.data.zarr_images import Found, has_zarr_ending, is_zarr
from smidgen.errors import FileError, InputError

Place = Path | str  # a folder or .zip, or an address that fsspec knows

KEY = "smidgen"  # of the attribute that says what a store was made from
# A kill must not leave half a chunk: these take an object whole or not at all, and so does zarr in folders.
_WHOLE_OBJECTS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "memory")
_LOSSLESS = {"blosc", "bz2", "crc32c", "gzip", "lz4", "lzma", "zlib", "zstd"}
_ROOT = (".zattrs", ".zgroup", ".zarray", "zarr.json")
# What file systems of fsspec call what tells of a change.
_STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
_HALF = ".partial"  # how the names of files end that zarr has not finished


def parse_place(text: str) -> Place:
    """A folder, a file, or an address."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    return Path(rest) if scheme in ("file", "local") else text.rstrip("/")


def is_store(text: str) -> bool:
    """Whether a user means a store of Zarr by this, be it there or not."""
    place = parse_place(text)
    return isinstance(place, str) or is_zarr(place) or (has_zarr_ending(place) and not place.exists())


def address_of(place: Place) -> str:
    """A place as others know it, too."""
    return place if isinstance(place, str) else os.path.realpath(place)  # which takes links that lead in a circle


def unit_of(array: Any) -> tuple[int, ...]:
    """The sides of what an array's store writes at once: a shard, or a chunk where there are none."""
    return tuple(array.shards or array.chunks)


def list_units(array: Any) -> Iterator[tuple[tuple[int, ...], int, str]]:
    """The chunks or shards that exist: their places, counted in units, sizes in bytes, and when they were written.

    Where storage does not tell the last, it is what it has instead, or nothing.
    """
    named = re.escape(array.metadata.encode_chunk_key((1,) * array.ndim)).replace("1", r"(\d+)")
    pattern, prefix = re.compile(named), f"{array.path}/" if array.path else ""
    for key, size, stamp in _list(array.store, array.path):
        if key.startswith(prefix) and (found := pattern.fullmatch(key, len(prefix))):
            yield tuple(map(int, found.groups())), size, stamp


def find_units(array: Any) -> NDArray[np.int64]:
    """The places of the chunks or shards that exist, `(n, axes)`; one without a byte is what a lost power leaves."""
    numbers = (number for place, size, _ in list_units(array) if size for number in place)
    return np.fromiter(numbers, np.int64).reshape(-1, array.ndim)


def _list(store: Any, path: str) -> Iterator[tuple[str, int, str]]:
    """Keys below a path, with sizes in bytes and what tells of a change."""
    from zarr.core.sync import sync
    from zarr.storage import FsspecStore, LocalStore, ZipStore

    if isinstance(store, LocalStore):
        yield from _walk(store.root, path)
    elif isinstance(store, ZipStore):
        with zipfile.ZipFile(store.path) as archive:
            for entry in archive.infolist():
                yield entry.filename, entry.file_size, str(entry.CRC)
    elif isinstance(store, FsspecStore):
        root = store.path.strip("/")
        try:
            found = sync(store.fs._find(f"{store.path}/{path}".rstrip("/"), detail=True))
        except FileNotFoundError:
            return
        for key, told in found.items():
            stamp = next((told[name] for name in _STAMPS if name in told), "")
            yield key.strip("/").removeprefix(f"{root}/"), told.get("size") or 0, str(stamp)
    else:
        raise FileError(f"chunks cannot be listed in a store of the kind {type(store).__name__}")


def _walk(root: Path, path: str) -> Iterator[tuple[str, int, str]]:
    folders = [path]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(root / folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            key = f"{folder}/{entry.name}".lstrip("/")
            if entry.is_dir():
                folders.append(key)
                continue
            try:
                about = entry.stat()
            except FileNotFoundError:  # a file of another process that has just got its own name
                continue
            yield key, about.st_size, str(about.st_mtime_ns)


def describe_input(array: Any, place: Place) -> dict[str, Any]:
    """What tells one input from another: its address, shape, type, and which chunks it has of which size and date."""
    count, total = 0, 0
    for unit, size, stamp in list_units(array):
        count += 1
        # A sum does not depend on the order in which they are found.
        total += int.from_bytes(sha256(f"{unit} {size} {stamp}".encode()).digest())
    return {
        "address": address_of(place),
        "path": array.path,
        "shape": list(array.shape),
        "type": array.dtype.str,
        "chunks": {"count": count, "sha256": f"{total % 2**256:064x}"},
    }


def check_target(place: Place, source: Place) -> None:
    """Refuse places that cannot be written to, or not without harm.

    Raises:
        InputError: it is no name for a store, or the input, or around or within it.
    """
    name, other = address_of(place), address_of(source)
    if isinstance(place, Path):
        if not has_zarr_ending(place):
            raise InputError(f"{place} does not have the ending of a Zarr store", expected="a name in .zarr")
        if place.exists() and not place.is_dir():
            raise FileError(f"{place} exists and is no folder", remedy="Choose another -o")
    elif place.partition("://")[0] not in _WHOLE_OBJECTS:
        raise InputError(
            f"{place} cannot be written to: after a kill, half a chunk could stand there",
            expected=f"a folder, or object storage: {', '.join(_WHOLE_OBJECTS)}",
        )
    if f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/"):
        raise InputError(f"{place} is also the input, or lies in it or around it", remedy="Choose another -o")


def prepare(place: Place, source: Found, dtype: np.dtype[Any], made_from: Mapping[str, Any]) -> None:
    """Make a store like another, without its chunks, or make sure that this was done before; nothing is ever replaced.

    Any number of processes may do so at once: all write the same few documents, that of the root last, each whole.

    Args:
        place: of the store.
        source: what it is to be like.
        dtype: of its values.
        made_from: what its attributes say.

    Raises:
        FileError: something else is there.
    """
    import zarr
    from zarr.core.sync import sync

    documents = _documents(source, dtype, dict(made_from))
    there = _look_at(place, "")
    if there is not None:
        _compare(place, there[1].get(KEY), made_from)
        for path, array in zip(source.paths, source.arrays, strict=True):
            found = _look_at(place, path) if path else there
            if found is None or _form(found[0], None) != _form(array, dtype):
                raise FileError(f"{place} exists and was changed: {path or 'it'} has another shape, chunks or type",
                                remedy="Choose another -o, or remove it")  # fmt: skip
        return
    target = zarr.storage.LocalStore(place) if isinstance(place, Path) else zarr.storage.FsspecStore.from_url(place)
    strange = [key for key, *_ in _list(target, "") if key not in documents and not key.endswith(_HALF)]
    if strange:
        raise FileError(f"{place} exists and holds other things, such as {strange[0]}", remedy="Choose another -o")
    for key in sorted(documents, key=lambda key: (key in _ROOT, _ROOT.index(key) if key in _ROOT else 0)):
        sync(target.set(key, documents[key]))


def _look_at(place: Place, path: str) -> tuple[Any, dict[str, Any]] | None:
    """The array or group that is there, and its attributes; None where there is none.

    Raises:
        FileError: it is damaged.
    """
    import zarr

    try:
        found = zarr.open(store=str(place), path=path or None, mode="r")
        return found, found.attrs.asdict()
    except FileNotFoundError:  # errors of zarr for what is no array or group are of this kind, too
        return None
    except Exception as error:  # damaged metadata raise nearly anything
        fault = f"{type(error).__name__}: {str(error)[:80]}"
        raise FileError(f"{place} exists and cannot be read as Zarr ({fault})", remedy="Choose another -o") from None


def _form(array: Any, dtype: np.dtype[Any] | None) -> Any:
    """What is the same of an array and of its copy with values of a type; of a group, nothing."""
    if not hasattr(array, "chunks"):
        return None
    return array.shape, array.chunks, array.shards, (dtype or array.dtype).newbyteorder("=")


def open_to_write(place: Place, path: str) -> Any:
    """An array of a store that exists, all of whose chunks are written, those of one value, too."""
    import zarr

    return zarr.open_array(str(place), path=path, mode="r+").with_config({"write_empty_chunks": True})


def _documents(source: Found, dtype: np.dtype[Any], made_from: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a store like another, by their keys."""
    import zarr

    documents: dict[str, Any] = {}
    store, root = zarr.storage.MemoryStore(store_dict=documents), source.root
    attributes = root.attrs.asdict() | {KEY: made_from}
    alone = isinstance(root, zarr.Array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not alone:
            zarr.create_group(store, zarr_format=root.metadata.zarr_format, attributes=_one_image(attributes))
        for path, array in zip(source.paths, source.arrays, strict=True):
            told = attributes if alone else array.attrs.asdict()
            zarr.create_array(store, name=path or None, attributes=told, **_like(array, dtype))
    return documents


def _one_image(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an OME-Zarr, of whose images there is the first."""
    if isinstance(attributes.get("ome"), Mapping):
        return attributes | {"ome": _one_image(dict(attributes["ome"]))}
    images = attributes.get("multiscales")
    return attributes | {"multiscales": images[:1]} if images else attributes


def _like(array: Any, dtype: np.dtype[Any]) -> dict[str, Any]:
    """How to make an array like another with values of a type; of its codecs those are kept that lose nothing."""
    about, same = array.metadata, array.dtype.newbyteorder("=") == dtype
    kept: dict[str, Any] = {"fill_value": array.fill_value} if same else {}
    if same and all(_codec_name(codec) in _LOSSLESS for codec in array.compressors):
        kept["compressors"] = array.compressors or None
    if about.zarr_format == 3:
        kept |= {"chunk_key_encoding": about.chunk_key_encoding, "dimension_names": about.dimension_names}
    else:
        kept["chunk_key_encoding"] = {"name": "v2", "separator": about.dimension_separator}
    shape = {"shape": array.shape, "chunks": array.chunks, "shards": array.shards}
    return kept | shape | {"dtype": dtype, "zarr_format": about.zarr_format}


def _codec_name(codec: Any) -> str:
    told = codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config()
    return str(told.get("name") or told.get("id")).removeprefix("numcodecs.")


def _compare(place: Place, there: Any, made_from: Mapping[str, Any]) -> None:
    """Refuse a store that was made from something else."""
    if not isinstance(there, Mapping):
        raise FileError(f"{place} exists and was not made by Smidgen", remedy="Choose another -o")
    for part, called in (("model", "by another model"), ("input", "from another input"), ("handling", "otherwise")):
        if there.get(part) != made_from[part]:
            differing = ""
            if part == "input" and isinstance(there.get(part), Mapping):
                names = [name for name, value in made_from[part].items() if there[part].get(name) != value]
                differing = f": it had {'another ' + ' and '.join(names)}"
            elif part == "handling":
                differing = f", with {there.get(part)}"
            raise FileError(
                f"{place} exists and was made {called}{differing}", remedy="Choose another -o, or remove it"
            )
