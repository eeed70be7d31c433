"""Words that stand where a password would and are none: talk about passwords, types, values of a form."""

from __future__ import annotations

from typing import Final

__all__ = ["NOT_A_PASSWORD", "REQUIREMENTS"]

NOT_A_PASSWORD: Final = frozenset(
    """
    a able about above again all already also always an and any anything are as ask asked at attached auth
    auto automatically available bad be because been being below between blank bool boolean both broken but
    bytes can cannot case changed char characters check choose compromised confidential contact correct
    correctly created credentials current data default deprecated did different disabled do does done each
    easy empty enabled encrypted enter entered exactly exist expired expires expiring exposed false field
    file fine forgotten free from generated given good great had handled has hash hashed have he her here
    hidden hint his how i if in incorrect input insecure int integer invalid is it its itself just key known
    leaked least less like locked long longer lost managed mandatory masked maximum may me minimum missing
    more must my name necessary need needed needs never new nil no none not nothing now null object of off
    ok okay old on only optional or our out passwd password passwords permanent plain plaintext please
    private protected provided pwd random randomly read really rejected required requirements reset rotated
    safe salted same saved secret secrets secure see sent set she short should shown simple simply so
    something stale static still stolen store stored str string strings strong stronger success successful
    successfully taken temporary text that the their them then there these they this those to token too true
    type typed unchanged undefined unique unknown unsafe unset until updated use used user username using
    valid value varchar verified very visible void was weak weaker well were what when where which who why
    will with without working would wrong yes yet you your
    """.split()  # noqa: SIM905 -- two hundred words read best as words
)
"""Behind `password is` or `password:`."""

REQUIREMENTS: Final = frozenset(
    ("a", "at", "can", "enter", "may", "minimum", "must", "needs", "should", "the", "use", "your")
)
"""How a sentence goes on that says what a passphrase must be like."""
