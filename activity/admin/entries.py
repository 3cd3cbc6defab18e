"""Entries, as the API serves them: of the granted ledgers alone, each with its verdict, a page at a time.

Being a superuser grants no ledger here either. AUDITLOG_ON_TAMPERED=block shows of a tampered entry its place and what
is wrong with it, nothing else.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from activity import access, filters, retrieval, search
from activity.errors import BadQueryError
from activity.filter_form import FilterForm, query_of
from activity.models import ActivityLog
from activity.panels import panels_of
from activity.record import shown
from activity.visible import visible
from signing.admin.pages import Link, ReadOnlyAdmin, Section, code
from signing.algorithms import ALGORITHMS
from signing.jws import base64url
from signing.merkle import leaf_hash

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse, QueryDict

    from activity.retrieval import Checked

_PAGE = "50"
_GRANTERS = 5  # names of who can grant that an empty page tells
_LONGEST = 200_000  # characters of a record or of data that a page shows; the API gives all
_MEMBERS = ("type", "action", "actor", "target", "outcome", "severity", "source", "ip", "event_id")
_LABELS = {"ip": "IP address", "event_id": "Event id"}


@admin.register(ActivityLog)
class EntryAdmin(ReadOnlyAdmin):
    """Find entries and look at one."""

    facts_template = "admin/activity/activitylog/entry.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the entries of the ledgers that are granted, for every page of Django's that takes one row."""
        found = super().get_queryset(request).select_related("ledger", "key")
        return found.filter(ledger__name__in=_readable(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show a page of entries and the form that filters them."""
        del extra_context
        if not self.has_view_permission(request):
            raise PermissionDenied
        readable = _readable(request)
        context = self.page_context(request, title="Entries", readable=sorted(readable))
        if readable:
            query = query_of(request.GET)
            form = FilterForm(query, readable=readable)
            context |= {"form": form, "is_asked": bool(set(query) - {"cursor"})} | _page(query, form, readable)
        else:
            context["granters"] = _granters()
        return TemplateResponse(request, "admin/activity/activitylog/entries.html", context)

    def title_of(self, found: Any) -> str:
        """Return the place of the entry, which is what findings name."""
        return f"{found.ledger.name}, leaf {found.leaf_index}"

    def facts(self, request: HttpRequest, found: Any) -> dict[str, Any]:
        """Return the entry with what can be said of it now; only that if it is blocked."""
        (checked,) = retrieval.check_entries([found])
        if retrieval.is_blocked(checked):
            return {"checked": checked, "blocked": True, "sections": [_place(request, found)]}
        return {
            "checked": checked,
            "sections": [_event(found), _place(request, found), _signature(request, found)],
            "links": _downloads(found),
            "texts": _texts(found),
            "panels": panels_of(request, found, settings.AUDITLOG_ADMIN_ENTRY_PANELS),
        }


def _readable(request: HttpRequest) -> frozenset[str]:
    return access.of_user(request.user).readable


def _page(query: QueryDict, form: FilterForm, readable: frozenset[str]) -> dict[str, Any]:
    paged = query.copy()
    paged.setdefault("limit", _PAGE)
    try:
        asked = filters.search_of(paged, readable)
        found = search.find(asked)
    except BadQueryError as error:
        return {"faults": form.complain(error.problems)}
    except OperationalError:  # statement_timeout
        return {"faults": ["This took too long: ask for one ledger, or a shorter time."]}
    context: dict[str, Any] = {
        "rows": [_row(checked) for checked in retrieval.check_entries(found.entries)],
        "scanned": found.scanned,
    }
    further = query.copy()
    further.pop("cursor", None)
    context["query"] = further.urlencode()
    if "cursor" in query:
        context["first_page"] = f"?{context['query']}"
    if found.next is not None:
        further["cursor"] = filters.cursor_of(asked, found.next)
        context["next_page"] = f"?{further.urlencode()}"
    return context


def _row(checked: Checked) -> dict[str, Any]:
    """Return what the list shows of an entry; no text of one that is blocked."""
    texts = {} if retrieval.is_blocked(checked) else {name: _shown(checked.entry, name) for name in _MEMBERS}
    return {"checked": checked, "texts": texts}


def _shown(entry: ActivityLog, name: str) -> str:
    return visible(getattr(entry, name) or "")


def _granters() -> list[str]:
    """Return names of people who could grant a ledger."""
    able = User.objects.with_perm("activity.add_ledgergrant", is_active=True, include_superusers=False)
    return [user.get_username() for user in able.order_by("username")[:_GRANTERS]]


def _event(entry: ActivityLog) -> Section:
    """Return the columns, and what the record says where it says otherwise."""
    said = _told(bytes(entry.record))
    members = said if isinstance(said, dict) else {}
    facts = [
        (_LABELS.get(name, name.capitalize()), _beside(_shown(entry, name), getattr(entry, name), members.get(name)))
        for name in _MEMBERS
    ]
    facts = [(name, value) for name, value in facts if value]
    return Section("Event", [*facts, ("Occurred", entry.occurred_at), ("Recorded", entry.recorded_at)])


def _beside(text: str, column: object, recorded: object) -> object:
    recorded = shown(recorded) if isinstance(recorded, str) else recorded
    if recorded is None or (column or "") == recorded:
        return text
    return format_html('{} <span class="al-differs">the record says: {}</span>', text, visible(str(recorded)))


def _place(request: HttpRequest, entry: ActivityLog) -> Section:
    ledger: object = entry.ledger.name
    if request.user.has_perm("signing.view_ledger"):
        address = reverse("admin:signing_ledger_change", args=[entry.ledger_id])
        ledger = format_html('<a href="{}">{}</a>', address, ledger)
    facts = [("Ledger", ledger), ("Leaf", entry.leaf_index), ("Id", code(str(entry.id)))]
    return Section("Place", [*facts, ("Locked", entry.lock_words or "no")])


def _signature(request: HttpRequest, entry: ActivityLog) -> Section:
    if entry.key is None:
        return Section("Signature", [("None", "Its log type requires none; its ledger proves it.")])
    key: object = entry.key.pk
    if request.user.has_perm("signing.view_signingkey"):
        address = reverse("admin:signing_signingkey_change", args=[quote(entry.key.pk)])
        key = format_html('<a href="{}">{}</a>', address, key)
    facts = [
        ("Key", key),
        ("Algorithm", entry.key.algorithm),
        ("Outsiders can verify it", "yes" if _is_public(entry) else "no: HMAC has no public half"),
        ("Signature (base64url)", code(base64url(bytes(entry.signature or b"")).decode())),
    ]
    return Section("Signature", facts)


def _is_public(entry: ActivityLog) -> bool:
    return entry.key is not None and ALGORITHMS[entry.key.algorithm].outsiders_can_verify


def _downloads(entry: ActivityLog) -> list[Link]:
    address, proof = (reverse(name, args=[entry.pk]) for name in ("api-log-entry", "api-log-entry-proof"))
    links = [Link("JWS", f"{address}?format=jws")] if _is_public(entry) else []
    return [
        Link("Its page: locks, who looked at it, what it says", reverse("log-entry", args=[entry.pk])),
        *links,
        Link("Proof file (C2SP)", f"{proof}?format=tlog-proof"),
        Link("Proof (JSON)", proof),
        Link("Entry (JSON)", address),
    ]


def _texts(entry: ActivityLog) -> list[dict[str, str]]:
    record = bytes(entry.record)
    texts = [_text("Record", record, "Leaf hash, SHA-256(0x00 ‖ record)", leaf_hash(record).hex())]
    if entry.detached_data is not None:
        data = bytes(entry.detached_data)
        texts.append(_text("Data, kept beside the record", data, "SHA-256", sha256(data).hexdigest()))
    return texts


def _text(heading: str, raw: bytes, hash_name: str, hash_hex: str) -> dict[str, str]:
    said = _told(raw)
    laid_out = "" if said is None else visible(json.dumps(said, indent=2, ensure_ascii=False), keep="\n")
    return {
        "heading": heading,
        "readable": _cut(laid_out),
        "stored": _cut(raw.decode(errors="backslashreplace")),
        "size": f"{len(raw):,} bytes",
        "hash_name": hash_name,
        "hash": hash_hex,
    }


def _told(raw: bytes) -> Any:
    """Return what a JSON text says, or None if somebody made it something else."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… {len(text) - _LONGEST:,} characters more"
