"""The steps of a key's life as pages: each says what will happen, asks why, and calls one service."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.db import OperationalError
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from signing import export_keys, key_texts, services, trusted_anchors
from signing.admin.steps import ReasonForm, posted, step_page, taken, username
from signing.algorithms import ALGORITHMS
from signing.errors import (
    AnchorConflictError,
    KeyNotFoundError,
    KeyStateError,
    LedgerRefusedError,
    MasterKeyError,
    SigningError,
)
from signing.models import KeyWindow, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    from signing.admin.pages import ReadOnlyAdmin
    from signing.models import Ledger

Purpose, State = SigningKey.Purpose, SigningKey.State
_NOTHING = "0"
_SLOTS = [*((Purpose.ENTRY, name) for name in ALGORITHMS), (Purpose.CHECKPOINT, "Ed25519")]


def possible(key: SigningKey, *, has_private_half: bool) -> list[tuple[str, str]]:
    """Return the steps that may be taken with a key beside rotation, as names and labels."""
    if key.purpose == Purpose.EXPORT and key.state == State.PRE_ACTIVE:
        return [("withdraw", "Withdraw the request")]
    steps = []
    others = SigningKey.objects.filter(purpose=key.purpose, state=State.ACTIVE).exclude(pk=key.pk)
    if key.purpose == Purpose.CHECKPOINT and key.state == State.ACTIVE and others.exists():
        steps.append(("retire", "Retire"))
    if key.purpose in SigningKey.LOG_PURPOSES:  # of people's keys the command does it
        steps.append(("compromise", "Mark compromised"))
    if key.state != State.ACTIVE and has_private_half:
        steps.append(("destroy", "Destroy"))
    return steps


def rotate(pages: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Show the slots; of one that is chosen, say what its rotation does, and do it."""
    purpose, algorithm = request.GET.get("purpose", ""), request.GET.get("algorithm", "")
    if (purpose, algorithm) not in _SLOTS:
        context = pages.page_context(request, title="Rotate, or make a key", slots=_slots())
        return TemplateResponse(request, "admin/signing/signingkey/slots.html", context)
    form = ReasonForm(posted(request))
    made: list[SigningKey] = []

    def step() -> None:
        reason = form.cleaned_data["reason"]
        made.append(services.rotate_key(purpose=purpose, algorithm=algorithm, by=username(request), reason=reason))

    if form.is_valid() and _taken(request, form, step):
        if not made:
            return HttpResponseRedirect(reverse("admin:signing_signingkey_changelist"))
        messages.success(request, f"The key {made[0]} is active.")
        if purpose == Purpose.CHECKPOINT:
            messages.warning(
                request, "Hand its lines below to everybody who verifies, and add them to your own trust file."
            )
        return HttpResponseRedirect(_address(made[0]))
    old = _active(purpose, algorithm)
    return step_page(
        pages,
        request,
        title=f"Rotate the {algorithm} {purpose} key" if old else f"Make the first {algorithm} {purpose} key",
        form=form,
        consequences=_what_rotation_does(purpose, algorithm, old),
        button="Rotate" if old else "Make the key",
        cancel=reverse("admin:signing_signingkey_changelist"),
    )


def retire(pages: ReadOnlyAdmin, request: HttpRequest, key: SigningKey) -> HttpResponse:
    """End the overlap of a checkpoint key."""
    return _one_step(
        pages,
        request,
        key,
        services.retire_key,
        title=f"Retire {key}",
        consequences=[
            "It signs no further checkpoint. Those that it signed stay valid for ever.",
            "Hand the lines of the new key out before: who has the old ones alone needs a checkpoint that both signed.",
            "It never becomes active again.",
        ],
        button="Retire",
        done=f"The key {key} is retired. The checkpoints that it signed stay valid.",
    )


def destroy(pages: ReadOnlyAdmin, request: HttpRequest, key: SigningKey) -> HttpResponse:
    """Erase a private half."""
    public = key_texts.is_public(key)
    return _one_step(
        pages,
        request,
        key,
        services.destroy_key,
        title=f"Destroy {key}",
        consequences=[
            "Its sealed private half is erased for good. Nothing brings it back.",
            "What it signed stays verifiable with its public half."
            if public
            else "Nobody can verify what it signed any more, for HMAC has no public half.",
            "Older backups of the database still hold the sealed half, until they age out.",
        ],
        button="Destroy for good",
        done=f"The private half of {key} is erased.",
        danger=True,
    )


def withdraw(pages: ReadOnlyAdmin, request: HttpRequest, key: SigningKey) -> HttpResponse:
    """Withdraw somebody's request for a certificate."""
    return _one_step(
        pages,
        request,
        key,
        export_keys.withdraw,
        title=f"Withdraw the request of {key}",
        consequences=[
            "No certificate is taken in for it any more, and its key is destroyed. It never signed anything.",
            "Whoever asked can ask anew under Exports; the key that signs for him now stays.",
        ],
        button="Withdraw the request",
        done=f"The request of {key} is withdrawn.",
        danger=True,
    )


def _one_step(
    pages: ReadOnlyAdmin,
    request: HttpRequest,
    key: SigningKey,
    take: Callable[..., object],
    *,
    done: str,
    **page: Any,
) -> HttpResponse:
    """Ask why, and take a step that needs nothing else."""
    form = ReasonForm(posted(request))

    def step() -> None:
        take(key_id=key.pk, by=username(request), reason=form.cleaned_data["reason"])

    if form.is_valid() and _taken(request, form, step):
        messages.success(request, done)
        return HttpResponseRedirect(_address(key))
    return step_page(pages, request, form=form, cancel=_address(key), **page)


class CompromiseForm(ReasonForm):
    """Up to which leaf the key is believed in each ledger, and the reason. One field a ledger, one choice an anchor."""

    def __init__(self, *args: Any, choices: dict[str, list[tuple[str, str]]], since: datetime | None) -> None:
        super().__init__(*args)
        reason = self.fields.pop("reason")
        for ledger, offered in choices.items():
            self.fields[f"ledger-{ledger}"] = forms.ChoiceField(
                label=f"In {ledger} believe",
                choices=offered,
                initial=offered[0][0] if since else None,
                widget=forms.RadioSelect,
            )
        self.fields["reason"] = reason

    def trusted_until(self) -> dict[str, int]:
        """Return the sizes that were chosen, by ledger."""
        return {
            name.removeprefix("ledger-"): int(value)
            for name, value in self.cleaned_data.items()
            if name.startswith("ledger-")
        }


class SinceForm(forms.Form):
    """When the thief could have had the key at the earliest."""

    since = forms.DateTimeField(
        label="When could it have been stolen, at the earliest? (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"),
        help_text="Of every ledger the anchors that were written before are offered below.",
    )

    def clean_since(self) -> datetime:
        """Refuse the future."""
        since: datetime = self.cleaned_data["since"]
        if since > datetime.now(UTC):
            raise forms.ValidationError("This lies in the future.")
        return since


def compromise(pages: ReadOnlyAdmin, request: HttpRequest, key: SigningKey) -> HttpResponse:
    """Ask since when, offer the anchors that are older, and distrust what the key signed later."""
    since_form = SinceForm(request.GET if "since" in request.GET else None)
    since = since_form.cleaned_data["since"] if since_form.is_valid() else None
    trouble = ""
    try:
        choices = _choices(key, since)
    except (SigningError, OSError) as error:
        trouble, choices = str(error), {name: [_believe_nothing()] for name in _ledgers(key)}
    form = CompromiseForm(posted(request), choices=choices, since=since)

    def step() -> None:
        services.mark_compromised(
            key_id=key.pk,
            trusted_until=form.trusted_until(),
            by=username(request),
            reason=form.cleaned_data["reason"],
        )

    if form.is_valid() and _taken(request, form, step):
        messages.success(request, f"The key {key} is compromised: {'; '.join(key_texts.window_texts(key))}.")
        if key.purpose == Purpose.CHECKPOINT:
            messages.warning(
                request,
                "Nothing that is still trusted leads to the new checkpoint key: take the lines below out of each trust "
                "file, and put those of the new key in, over a channel that the thief does not have.",
            )
        return HttpResponseRedirect(_address(key))
    return step_page(
        pages,
        request,
        title=f"Mark {key} compromised",
        form=form,
        consequences=_what_compromise_does(key),
        button="Mark compromised",
        cancel=_address(key),
        danger=True,
        since_form=since_form,
        trouble=trouble,
        anchors_kept=bool(settings.AUDITLOG_ANCHOR_DIR),
    )


def _taken(request: HttpRequest, form: forms.Form, step: Callable[[], None]) -> bool:
    """Take a step; what goes wrong with the anchors afterwards does not take it back."""
    try:
        return taken(
            form, step, (KeyNotFoundError, KeyStateError, MasterKeyError, LedgerRefusedError, OperationalError)
        )
    except (AnchorConflictError, OSError) as error:
        messages.warning(request, f"The step is recorded, but: {error}")
        return True


def _choices(key: SigningKey, since: datetime | None) -> dict[str, list[tuple[str, str]]]:
    directory = Path(settings.AUDITLOG_ANCHOR_DIR) if settings.AUDITLOG_ANCHOR_DIR else None
    choices = {}
    for name, ledger in _ledgers(key).items():
        found = trusted_anchors.offered(ledger, since, directory) if since and directory else []
        offered = [(str(one.size), _told(one)) for one in found if one.size > 0]
        choices[name] = [*offered, _believe_nothing()]
    return choices


def _told(anchor: trusted_anchors.TrustedAnchor) -> str:
    return f"what it signed before leaf {anchor.size:,} (anchored {anchor.written_at:%Y-%m-%d %H:%M:%S} UTC)"


def _believe_nothing() -> tuple[str, str]:
    return (_NOTHING, "nothing that it ever signed")


def _ledgers(key: SigningKey) -> dict[str, Ledger]:
    windows = KeyWindow.objects.filter(key=key).select_related("ledger").order_by("ledger__name")
    return {window.ledger.name: window.ledger for window in windows}


def _active(purpose: str, algorithm: str) -> list[SigningKey]:
    return list(SigningKey.objects.filter(purpose=purpose, algorithm=algorithm, state=State.ACTIVE))


def _slots() -> list[dict[str, Any]]:
    address = reverse("admin:signing_signingkey_add")
    return [
        {
            "purpose": purpose,
            "algorithm": algorithm,
            "keys": [(key, _address(key)) for key in _active(purpose, algorithm)],
            "address": f"{address}?purpose={purpose}&algorithm={algorithm}",
            "note": "" if ALGORITHMS[algorithm].outsiders_can_verify else key_texts.HMAC,
        }
        for purpose, algorithm in _SLOTS
    ]


def _what_rotation_does(purpose: str, algorithm: str, old: list[SigningKey]) -> list[str]:
    names = " and ".join(str(key) for key in old)
    if purpose == Purpose.CHECKPOINT:
        said = [
            f"A new checkpoint key is made and signs at once, beside {names}, until you retire the old one.",
            "Whoever verifies has the old key pinned: hand out the lines of the new one, which stand on its page.",
        ]
    elif old:
        said = [
            f"A new {algorithm} entry key is made and signs from now on, in every ledger that takes entries.",
            f"{names} is retired at the leaf where the new one takes over. What it signed stays valid for ever.",
            "Running processes notice by themselves; nothing is interrupted.",
        ]
    else:
        said = [f"The first {algorithm} entry key is made. It signs entries whose log type asks for {algorithm}."]
    if not ALGORITHMS[algorithm].outsiders_can_verify:
        said.append(f"{key_texts.HMAC}.")
    return said


def _what_compromise_does(key: SigningKey) -> list[str]:
    said = []
    if key.state == State.ACTIVE:
        said.append("A new key takes its place at once, and recording goes on.")
    if key.purpose == Purpose.ENTRY:
        said.append(
            "Entries that it signed stay valid up to the leaf that you choose. From there on they are reported as "
            "untrusted key, whatever time they bear, for a thief chooses it."
        )
    else:
        said.append("Its checkpoints are believed up to the size that you choose, and from there on not any more.")
    said.append("It cannot be taken back. It may be said again with earlier leaves, never with later ones.")
    said.append(
        "If the thief could write where the anchors are kept, take anchors from a copy that he could not reach: "
        f"./auditlog keys compromise {key} --anchor FILE …"
    )
    return said


def _address(key: SigningKey) -> str:
    return reverse("admin:signing_signingkey_change", args=[quote(key.pk)])
