"""Keys: what there is, what each may sign, and the steps of its life. No page reads a private half.

    add/                 the slots, one for each algorithm; with ?purpose=&algorithm= the page that fills or rotates one
    KEY/retire/          end the overlap of a checkpoint key
    KEY/compromise/      say that it was stolen
    KEY/destroy/         erase the private half
    KEY/withdraw/        withdraw somebody's request for a certificate

The steps themselves are in key_steps.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.urls import reverse

from signing import key_texts
from signing.admin import key_steps
from signing.admin.pages import Link, PlainChangeList, ReadOnlyAdmin, Section, badge, code, text_block
from signing.admin.steps import step_urls
from signing.jws import public_jwk
from signing.models import ExportCertificate, KeyWindow, SigningKey

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

Purpose, State = SigningKey.Purpose, SigningKey.State


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    """Keys are few: one list holds them all."""

    change_list_class = PlainChangeList
    add_label = "Rotate, or make a key"
    list_display = ("id", "purpose", "algorithm_shown", "state_shown", "since", "signs")
    list_filter = ("state", "purpose")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the keys without their private halves, sealed as these are; only whether there is one is told."""
        has_private_half = Q(sealed_private_key__isnull=False)
        keys: QuerySet[Any] = super().get_queryset(request).defer("sealed_private_key")
        return cast("QuerySet[Any]", keys.annotate(has_private_half=has_private_half))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow to rotate, which is how every key is made."""
        return bool(request.user.has_perm("signing.add_signingkey"))

    @admin.display(description="algorithm")
    def algorithm_shown(self, key: SigningKey) -> str:
        """Return the algorithm, and that HMAC is none for outsiders."""
        return key.algorithm if key_texts.is_public(key) else f"{key.algorithm} (not for outsiders)"

    @admin.display(description="state")
    def state_shown(self, key: SigningKey) -> SafeString:
        """Return the state as a badge."""
        return badge(key.state)

    def since(self, key: SigningKey) -> str:
        """Return when the key came into its state."""
        return f"{key_texts.since(key):%Y-%m-%d %H:%M} UTC"

    def signs(self, key: SigningKey) -> str:
        """Return its windows."""
        return "; ".join(key_texts.window_texts(key)) or "nothing yet"

    def get_urls(self) -> list[URLPattern]:
        """Add a page for each step."""
        steps = {
            "retire": partial(key_steps.retire, self),
            "compromise": partial(key_steps.compromise, self),
            "destroy": partial(key_steps.destroy, self),
            "withdraw": partial(key_steps.withdraw, self),
        }
        return [*step_urls(self, steps, may=self._may_step), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the slots, or rotate one."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        return key_steps.rotate(self, request)

    def _may_step(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("signing.change_signingkey"))

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return everything that is public about a key."""
        del request
        kept = "kept by the provider, sealed" if found.has_private_half else "destroyed"
        key = [
            ("State", badge(found.state)),
            ("Signs", _what_it_signs(found)),
            ("Algorithm", found.algorithm if key_texts.is_public(found) else f"{found.algorithm}. {key_texts.HMAC}."),
            ("Created", found.created_at),
            ("Activated", found.activated_at),
            ("Retired", found.retired_at),
            ("Compromised or destroyed", found.ended_at),
            ("Provider", found.provider),
            ("Private half", kept),
        ]
        return [
            Section("Key", [(name, value) for name, value in key if value is not None]),
            Section("Windows: the leaves that it may have signed", _windows(found)),
            Section("Public half", _public_half(found)),
            Section("Its life, as the keys ledger tells it", _life(found)),
        ]

    def links(self, request: HttpRequest, found: Any) -> list[Link]:
        """Lead to the steps that can be taken now."""
        links = []
        if found.state == State.ACTIVE and self.has_add_permission(request):
            slot = f"?purpose={found.purpose}&algorithm={found.algorithm}"
            links.append(Link("Rotate", reverse("admin:signing_signingkey_add") + slot))
        if request.user.has_perm("signing.change_signingkey"):
            steps = key_steps.possible(found, has_private_half=found.has_private_half)
            links += [
                Link(
                    label, reverse(f"admin:signing_signingkey_{name}", args=[quote(found.pk)]), danger=name != "retire"
                )
                for name, label in steps
            ]
        return links


def _what_it_signs(key: SigningKey) -> str:
    if key.purpose == Purpose.EXPORT:
        certificate = ExportCertificate.objects.filter(key=key).first()
        return f"exports of {certificate.person if certificate else 'nobody'}"
    words: dict[str, str] = {
        Purpose.ENTRY: "single entries",
        Purpose.CHECKPOINT: "where whole ledgers stand",
        Purpose.CA: "certificates of people who export",
    }
    return words[key.purpose]


def _windows(key: SigningKey) -> list[tuple[str, object]]:
    windows = KeyWindow.objects.filter(key=key).select_related("ledger").order_by("ledger__name")
    return [(window.ledger.name, key_texts.leaves(window)) for window in windows] or [("Nothing", "It never signed.")]


def _public_half(key: SigningKey) -> list[tuple[str, object]]:
    if not key.public_key:
        return [("None", "HMAC has one half alone, and whoever has it can also sign.")]
    facts: list[tuple[str, object]] = [("Fingerprint (SHA-256)", code(key_texts.fingerprint(key)))]
    if key.purpose == Purpose.CHECKPOINT:
        return [*facts, ("Lines for trust files", text_block("\n".join(key_texts.vkeys(key))))]
    jwk = public_jwk(key.id, key.algorithm, bytes(key.public_key))
    if jwk is not None:
        facts.append(("JWK", text_block("\n".join(f"{name}: {value}" for name, value in jwk.items()))))
    return facts


def _life(key: SigningKey) -> list[tuple[str, object]]:
    return [(step.at, f"{step} (leaf {step.leaf_index})") for step in key_texts.steps(key)]
