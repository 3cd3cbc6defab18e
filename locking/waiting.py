"""What is open: overrides and releases that wait for a second person, overrides that run, reviews. Reads.

Each step says in whole sentences what waits, since when, and who must act; never the one who asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from activity import access
from locking import queries, rights
from locking.models import LockOverride
from locking.people import who_can
from locking.wording import counted, moment_words, names_words

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.contrib.auth.models import AnonymousUser, User

    from locking.models import LogLock

SHOWN = 50  # of each kind
_NOBODY = "nobody has this right for these entries yet: a security admin gives the role approver"


@dataclass(frozen=True, slots=True)
class OpenStep:
    """Something that has not ended. `who` is a sentence; `is_yours` if whoever looks is one of them."""

    title: str
    what: str
    since: datetime
    who: str
    address: str
    button: str
    is_yours: bool
    waits: bool = True  # for somebody; False for what ends by itself


def open_steps(user: User | AnonymousUser) -> list[OpenStep]:
    """Return what is open of what somebody may see: first what waits for him, then by what it is."""
    readable = access.of_user(user).readable
    if not readable:
        return []
    steps: list[OpenStep] = []
    if user.has_perm(rights.SEE_OVERRIDES):
        steps += [step_of(one, user) for one in queries.overrides_to_decide(readable)[:SHOWN]]
    if user.has_perm(rights.SEE):
        steps += [release_step(one, user) for one in queries.releases_to_give(readable)[:SHOWN]]
    if user.has_perm(rights.SEE_OVERRIDES):
        steps += [step_of(one, user) for one in queries.overrides_to_review(readable)[:SHOWN]]
        steps += [step_of(one, user) for one in queries.overrides_running(readable)[:SHOWN]]
    return sorted(steps, key=lambda step: not step.is_yours)


def step_of(made: LockOverride, user: User | AnonymousUser) -> OpenStep:
    """Return what an override waits for. Raises ValueError if it waits for nothing any more."""
    shown: dict[str, Any] = {"title": str(made).capitalize(), "address": reverse("override", args=[made.pk])}
    number = counted(len(made.entries), "locked entry", "locked entries")
    if made.state == LockOverride.State.REQUESTED:
        who, is_yours = _who(rights.DECIDE_OVERRIDE, made.requested_by, queries.ledgers_of(made), user)
        what = f"{made.requested_by} asks to change {number} for {counted(made.hours, 'hour', 'hours')}."
        return OpenStep(
            **shown,
            what=what,
            since=made.requested_at,
            who=f"To be decided by {who}.",
            button="Decide",
            is_yours=is_yours,
        )
    if made.waits_for_review:
        who, is_yours = _who(rights.REVIEW_OVERRIDE, made.requested_by, queries.ledgers_of(made), user)
        changes = counted(made.used_count, "change was", "changes were")
        what = f"It has ended; {changes} made under it. {made.requested_by} had asked for it."
        since = made.ended_at or made.requested_at
        return OpenStep(
            **shown, what=what, since=since, who=f"To be reviewed by {who}.", button="Review", is_yours=is_yours
        )
    if made.state == LockOverride.State.APPROVED and made.runs_until is not None and made.decided_at is not None:
        until = moment_words(made.runs_until)
        what = f"It runs: {number} can be changed until {until}. {made.requested_by} had asked for it."
        who = "Nobody must act: it ends by itself, or when somebody closes it. A review follows."
        if made.runs_until <= datetime.now(UTC):
            who = "Nobody must act: its time is over, and the next beat ends it. A review follows."
        return OpenStep(**shown, what=what, since=made.decided_at, who=who, button="Open", is_yours=False, waits=False)
    message = f"{made} waits for nothing"
    raise ValueError(message)


def release_step(made: LogLock, user: User | AnonymousUser) -> OpenStep:
    """Return who may give a release that was asked for."""
    asked_by, entries = made.release_requested_by or "", counted(made.count, "entry", "entries")
    who, is_yours = _who(rights.RELEASE, asked_by, [made.ledger.name], user)
    return OpenStep(
        title=str(made).capitalize(),
        what=f"{asked_by} asks to release it: {made.get_kind_display()}, {entries} of {made.ledger.name}.",
        since=_asked_at(made),
        who=f"To be released by {who}.",
        address=reverse("lock", args=[made.pk]),
        button="Look and decide",
        is_yours=is_yours,
    )


def _asked_at(made: LogLock) -> datetime:
    asked = queries.steps_of(str(made)).filter(type="auditlog.lock.release-requested").last()
    return made.created_at if asked is None else asked.recorded_at


def _who(permission: str, asked_by: str, ledgers: Collection[str], user: User | AnonymousUser) -> tuple[str, bool]:
    """Return who can take a step, and whether whoever looks can."""
    own = user.get_username()
    names = who_can(permission=permission, but=asked_by, ledgers=ledgers)
    is_yours = own in names or (own != asked_by and user.has_perm(permission))
    if is_yours:
        others = [name for name in names if name != own]
        return (f"you, or {names_words(others)}" if others else "you"), True
    return (names_words(names) if names else f"somebody other than {asked_by}; {_NOBODY}"), False
