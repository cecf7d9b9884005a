# SPDX-License-Identifier: GPL-3.0-or-later
"""Tying the names of micrographs in picks files to the micrographs at hand."""

from __future__ import annotations

import os
import posixpath
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from ..errors import UsageError
from .micrograph import IMAGE_EXTENSIONS, Micrograph

_COMPRESSION = re.compile(r"\.(gz|bz2)$", re.IGNORECASE)

_Parts = Tuple[str, ...]

# what programs put behind the name of a micrograph in files of its picks
PICK_SUFFIXES = ("_manualpick", "_autopick", "_topazpicks", "_automatch", "_pupick")
# micrographs may be called so themselves: looked at only where no whole name fits
_DOUBTFUL_PICK_SUFFIXES = ("_extract", "_info", r"_BoxNet\w*")
_MICROGRAPH_SUFFIXES = (
    "_patch_aligned",
    "_(non_?)?rigid_aligned",
    "_aligned(_mic)?",
    "_doseweighted",
    "_noDW",
    "_DW",
    "_denoised",
)
_PREFIX = re.compile(r"^\d{15,}_")  # cryoSPARC's uid
_SUFFIX = re.compile(
    rf"(?<=.)({'|'.join([*_MICROGRAPH_SUFFIXES, *PICK_SUFFIXES, *_DOUBTFUL_PICK_SUFFIXES])})$",
    re.IGNORECASE,
)


class _NameMatch(NamedTuple):
    """A name that fits a micrograph.

    Attributes:
        name: as the picks file has it.
        parts: its folders and its stem.
        shared: how many parts at its end it shares with the micrograph.
        removed: how much was taken off its stem, and off the micrograph's.
    """

    name: str
    parts: _Parts
    shared: int
    removed: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every part of the name fits the micrograph."""
        return self.shared == len(self.parts)


def match_names(names: Iterable[str], micrographs: Sequence[Micrograph]) -> Dict[str, Micrograph]:
    """Tie names in picks files to micrographs.

    The exact name or path comes first. Otherwise the file names must agree, with or without the
    extension of an image, and the micrograph is the one that shares most folders with the name,
    counted from the file upwards. Where names from several folders fit one micrograph, the one
    that shares most folders has it, beside any that are merely shorter ways to write its path.
    A name that fits none in this way may do so without what programs put before and behind it:
    cryoSPARC's uid, _patch_aligned_doseweighted, _DW, _autopick and the like. As little as
    possible is taken off.

    Args:
        names: names as picks files have them: paths, file names, or file names without extension;
            folders may be separated as on Windows.
        micrographs: the set to look in.

    Returns:
        The micrograph for each name; names that fit none are left out.

    Raises:
        UsageError: a name fits two micrographs equally well, or two names from different folders
            fit one micrograph equally well.
    """
    exact = {str(micrograph.path): micrograph for micrograph in micrographs}
    exact.update((micrograph.name, micrograph) for micrograph in micrographs)
    names = list(dict.fromkeys(names))
    found = [exact[name] for name in names if name in exact]
    if len({*found}) == len(names):
        # nothing is left to compare, which takes long for thousands
        return dict(zip(names, found))
    by_tail = _index_tails(micrographs)
    claims: Dict[Micrograph, List[_NameMatch]] = {}
    left: List[str] = []
    for name in names:
        parts = _split(name)
        shared = len(parts) if name in exact else _longest_tail(parts, by_tail)
        if shared:
            micrograph = exact.get(name) or _choose(name, by_tail[parts[-shared:]])
            claims.setdefault(micrograph, []).append(_NameMatch(name, parts, shared))
        else:
            left.append(name)
    _claim_by_core(left, micrographs, by_tail, claims)
    return {
        name: micrograph
        for micrograph, rivals in claims.items()
        for name in _resolve_conflicts(rivals, micrograph)
    }


def names_agree(name: str, micrograph: Micrograph) -> bool:
    """Say whether a name in a picks file is the micrograph's but for folders and extension."""
    return name == micrograph.name or _split(name)[-1] == _split(str(micrograph.path))[-1]


def _claim_by_core(
    names: Sequence[str],
    micrographs: Sequence[Micrograph],
    by_tail: Mapping[_Parts, List[Micrograph]],
    claims: Dict[Micrograph, List[_NameMatch]],
) -> None:
    """Let names that fit no micrograph claim one without their usual prefixes and suffixes."""
    if not names:
        return
    by_core = _index_tails(micrographs, reduced=True)
    for name in names:
        parts = _split(name)
        variants = [(*parts[:-1], stem) for stem in _variants(parts[-1])]
        levels = [(variant, by_tail) for variant in variants[1:]]
        levels += [(variant, by_core) for variant in variants]
        for removed, (variant, index) in enumerate(levels, 1):
            shared = _longest_tail(variant, index)
            if shared:
                micrograph = _choose(name, index[variant[-shared:]])
                match = _NameMatch(name, variant, shared, removed)
                claims.setdefault(micrograph, []).append(match)
                break


def _variants(stem: str) -> List[str]:
    """Return a stem with less and less of what programs put before and behind it."""
    found = [stem]
    while True:
        shorter = _SUFFIX.sub("", found[-1])
        if shorter == found[-1]:
            shorter = _PREFIX.sub("", found[-1]) or found[-1]
        if shorter == found[-1]:
            return found
        found.append(shorter)


def _split(name: str) -> _Parts:
    """Return the folders of a path and its last part without the extension of an image."""
    *folders, file = posixpath.normpath(name.replace("\\", "/")).split("/")
    kept = [part for part in folders if part not in ("", "..")]
    return (*kept, _stem(file))


def _stem(file: str) -> str:
    """Drop the extension of an image, compressed or not, and no other: stems may have dots."""
    stem, extension = os.path.splitext(_COMPRESSION.sub("", file))
    return stem if extension.lower() in IMAGE_EXTENSIONS else file


def _index_tails(
    micrographs: Iterable[Micrograph], reduced: bool = False
) -> Dict[_Parts, List[Micrograph]]:
    """List the micrographs under each end of their absolute paths, from the stem upwards.

    Args:
        micrographs: to list.
        reduced: take what programs put before and behind names off the stems.
    """
    by_tail: Dict[_Parts, List[Micrograph]] = {}
    for micrograph in dict.fromkeys(micrographs):
        parts = _split(os.path.abspath(micrograph.path))
        if reduced:
            parts = (*parts[:-1], _variants(parts[-1])[-1])
        for start in range(len(parts)):
            by_tail.setdefault(parts[start:], []).append(micrograph)
    return by_tail


def _longest_tail(parts: _Parts, by_tail: Mapping[_Parts, List[Micrograph]]) -> int:
    """Return how many of the last `parts` are found in `by_tail`; 0 if not even the stem is."""
    return max((n for n in range(len(parts) + 1) if parts[len(parts) - n :] in by_tail), default=0)


def _choose(name: str, candidates: Sequence[Micrograph]) -> Micrograph:
    """Take the only candidate, or the only one with the same extension."""
    file = posixpath.basename(name.replace("\\", "/"))
    same_file = [micrograph for micrograph in candidates if micrograph.path.name == file]
    for chosen in (candidates, same_file):
        if len(chosen) == 1:
            return chosen[0]
    first, second = candidates[0].name, candidates[1].name
    raise UsageError(
        f"{name!r} in the picks fits {len(candidates)} micrographs equally well, such as "
        f"{first!r} and {second!r}: give these names with more of their folders, or pick in "
        "each folder on its own"
    )


def _resolve_conflicts(rivals: Sequence[_NameMatch], micrograph: Micrograph) -> List[str]:
    """Return the names that belong to the micrograph among those that fit it.

    A name whose every part fits is a way to write the micrograph's path. One with other folders
    further up may be of a copy elsewhere or of another micrograph: only the closest can be right.
    Names from which least was taken off are closest.
    """
    least = min(claim.removed for claim in rivals)
    rivals = [claim for claim in rivals if claim.removed == least]
    closest = max(claim.shared for claim in rivals)
    moved = [claim for claim in rivals if not claim.is_whole and claim.shared == closest]
    if len({claim.parts for claim in moved}) > 1:
        raise UsageError(
            f"{moved[0].name!r} and {moved[1].name!r} in the picks fit the micrograph "
            f"{micrograph.name!r} equally well: remove the one that does not belong to it"
        )
    return [claim.name for claim in rivals if claim.is_whole or claim in moved]
