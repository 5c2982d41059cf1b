"""Where the course's files live, and how they are read and written without ever trusting a broken one.

`data_folder()` is the repository's own `data/`, with its sha256 checksums in `README.md`; `cache_folder()` is for what
can be made or downloaded again.
"""

import contextlib
import getpass
import hashlib
import importlib.util
import os
import re
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CLONE = "Clone the whole repository and install from the clone (pip install -e .)"
_HASH_CELL = re.compile(r"`([0-9a-f]{64})`")
_PATH_CELL = re.compile(r"`([^`|]+)`")

_verified: set[tuple[str, int, int, str]] = set()  # (path, mtime, size, sha256) of what was found right
_stand_ins: dict[Path, Path] = {}  # cache folder that cannot be written -> the temporary one in its place


class DataFileError(OSError):
    """A file of the course is missing, truncated, altered or not listed in data/README.md."""


def _source() -> Path:
    """The clone, if the library runs from one."""
    return Path(__file__).resolve().parents[3]


def repository_folder() -> Path:
    """The clone with the course's book, around the library or the folder of COURSE_DATA; DataFileError if none."""
    folders = [_source()]
    if named := os.environ.get("COURSE_DATA"):
        folders.append(Path(named).expanduser().parent)
    for folder in folders:
        if (folder / "book").is_dir():
            return folder
    raise DataFileError(
        "the course's repository was not found: expected it around the library's source, "
        f"found no book in {_source()}. {_CLONE}"
    )


def data_folder() -> Path:
    """The repository's `data/` folder, or that named by the variable COURSE_DATA. Raises DataFileError if absent."""
    named = os.environ.get("COURSE_DATA")
    folder = Path(named).expanduser() if named else _source() / "data"
    if not (folder / "README.md").is_file():
        where = "COURSE_DATA names" if named else "beside the library's source, expected"
        raise DataFileError(
            f"the course's data folder was not found: {where} {folder}, which has no README.md. "
            f"{_CLONE}, or set COURSE_DATA to the clone's data folder"
        )
    return folder


def checksums() -> dict[str, str]:
    """The table of data/README.md: path below the data folder -> sha256; DataFileError if a path has two."""
    readme = data_folder() / "README.md"
    table: dict[str, str] = {}
    for line in readme.read_text(encoding="utf-8").splitlines():
        if row := _parse_row(line):
            path, digest = row
            if table.setdefault(path, digest) != digest:
                both = f"{table[path]} and {digest}; delete the wrong row"
                raise DataFileError(f"{readme} lists {path} twice, with sha256 {both}")
    return table


def read_verified(relative_path: str) -> bytes:
    """The bytes of a file of the data folder, given only if its sha256 is the one in data/README.md.

    `relative_path` has forward slashes. TypeError or ValueError if it is no path below the folder; DataFileError, which
    says how to restore the file, if it is not in the table, missing, truncated or altered.
    """
    path = data_folder() / _inside(relative_path)
    expected = checksums().get(relative_path)
    if expected is None:
        what = f"{relative_path} is not listed in {data_folder() / 'README.md'}, so it cannot be verified"
        raise DataFileError(f"{what}; check the name, or add a row with its sha256")
    restore = f"restore it with: git checkout -- data/{relative_path}  (or clone the repository again)"
    try:
        with path.open("rb") as file:
            changed, content = os.fstat(file.fileno()).st_mtime_ns, file.read()
    except OSError as error:
        reason = "the file is missing" if isinstance(error, FileNotFoundError) else str(error)
        raise DataFileError(f"{path}: expected sha256 {expected}, found none: {reason}; {restore}") from error
    key = (str(path), changed, len(content), expected)
    if key not in _verified:
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            what = f"{path} is truncated or altered ({len(content)} bytes)"
            raise DataFileError(f"{what}: expected sha256 {expected}, found {found}; {restore}")
        _verified.add(key)
    return content


def read_packaged(package: str, file: str, sha256: str, missing: str) -> bytes:
    """The bytes of a `file` of an installed package, "NAME==VERSION", none of whose code is run.

    ImportError, which says `missing`, if it is not installed; DataFileError if the file's sha256 is another one.
    """
    spec = importlib.util.find_spec(package.split("==")[0].replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ImportError(missing)
    path = Path(spec.origin).parent / file
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.sha256(content).hexdigest() if content else "no file"
    if found != sha256:
        restore = f"restore it with: pip install --force-reinstall --no-deps {package}"
        raise DataFileError(f"{path}: expected sha256 {sha256}, found {found}; {restore}")
    return content


def record_checksum(relative_path: str, *, origin: str, licence: str) -> str:
    """List a data file in data/README.md, or renew its row; returns its sha256. Raises as `read_verified`."""
    for name, text in (("origin", origin), ("licence", licence)):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a string; received {type(text).__name__}")
        if not text.strip() or "|" in text or "\n" in text:
            raise ValueError(f"{name} must be one non-empty line without '|'; received {text!r}")
    path = data_folder() / _inside(relative_path)
    if not path.is_file():
        raise DataFileError(f"{path} does not exist, so it has no checksum to record; write it first")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    new = f"| `{relative_path}` | {origin} | {licence} | `{digest}` | {len(content):,} |"
    readme = data_folder() / "README.md"
    with _one_at_a_time(readme):  # else of two that read the table at once, one would lose its row
        lines = readme.read_text(encoding="utf-8").splitlines()
        paths = {number: row[0] for number, line in enumerate(lines) if (row := _parse_row(line))}
        same = [number for number, path in paths.items() if path == relative_path]
        if same:
            lines[same[0]] = new
        elif paths:
            lines.insert(max(paths) + 1, new)
        else:
            lines += ["", "| file | origin | licence | sha256 | bytes |", "|---|---|---|---|---|", new]
        write_atomically(readme, ("\n".join(lines) + "\n").encode())
    return digest


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock that belongs to `path` against other processes, where the system has such locks."""
    if fcntl is None:
        yield
        return
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    # not beside the file: the folder of the data should show nothing but the data
    lock = Path(tempfile.gettempdir()) / f"generative-modelling-course-{name}.lock"
    with lock.open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write `content` so that readers see the old file or the whole new one; returns the path. TypeError or OSError."""
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"content must be bytes; received {type(content).__name__}")
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a string or a Path; received {type(path).__name__}")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden and random: no reader looks for this name, and two writers never share it.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it a power cut could keep the new name and lose the bytes
        os.replace(temporary, target)
    except BaseException as error:  # an interrupt (Ctrl-C, kernel stopped) must clean up too
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        what = f"{len(content):,} bytes could not be written, what was there is intact"
        message = f"{error.strerror or error}: {what}; make room, or choose another folder"
        raise OSError(error.errno, message, str(target)) from error
    return target


def require_writable(folder: Path, why: str) -> None:
    """Raises PermissionError now, not after a long run, if `folder` (made if absent) cannot be written; says `why`."""
    if problem := _why_not_writable(folder):
        what = f"expected to be able to write {why} to {folder}"
        raise PermissionError(f"{what}, found that I cannot: {problem}")


def cache_folder() -> Path:
    """A writable folder for what can be rendered or downloaded again; made if absent.

    The variable COURSE_CACHE names it; else it is ~/.cache/generative-modelling-course, or, with one warning, a
    temporary folder of the user's if that cannot be written.
    """
    named = os.environ.get("COURSE_CACHE")
    try:
        wanted = Path(named).expanduser() if named else Path.home() / ".cache" / "generative-modelling-course"
    except RuntimeError:  # an account without a home folder
        wanted = Path(os.sep) / ".cache" / "generative-modelling-course"
    if (problem := _why_not_writable(wanted)) is None:
        return wanted
    if wanted not in _stand_ins or not _stand_ins[wanted].is_dir():
        _stand_ins[wanted] = _stand_in()
        warnings.warn(
            f"the cache folder {wanted} cannot be written ({problem}); using {_stand_ins[wanted]}, which the system "
            "may empty. To keep what is cached, set COURSE_CACHE to a folder you can write",
            stacklevel=2,
        )
    return _stand_ins[wanted]


def _stand_in() -> Path:
    """A temporary folder of this user's alone, the same every time; another one if somebody else holds its name."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a user without a name, as in some containers
        user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"generative-modelling-course-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        mine = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
        if folder.is_dir() and not folder.is_symlink() and mine and _why_not_writable(folder) is None:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="generative-modelling-course-"))


def _why_not_writable(folder: Path) -> str | None:
    """None if a file can be made in `folder` (made if absent), else the system's reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits do not tell (read-only mounts, quotas): try it.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return error.strerror or str(error)
    return None


def _inside(relative_path: str) -> PurePosixPath:
    """`relative_path` if it stays below the folder that it will be joined to."""
    if not isinstance(relative_path, str):
        raise TypeError(f"relative_path must be a string; received {type(relative_path).__name__}")
    path = PurePosixPath(relative_path)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in relative_path:
        wanted = "a path below the data folder with forward slashes, such as 'images/coffee.png'"
        raise ValueError(f"relative_path must be {wanted}; received {relative_path!r}")
    return path


def _parse_row(line: str) -> tuple[str, str] | None:
    """(path, sha256) of a row of the table, None for any other line."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    path = _PATH_CELL.fullmatch(cells[0])
    digests = [match for cell in cells[1:] if (match := _HASH_CELL.fullmatch(cell))]
    return (path[1], digests[0][1]) if path and digests else None
