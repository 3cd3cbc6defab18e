"""Meta logs and archives of them in Django's admin: to be looked at by the auditor of auditors, changed by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.functional import cached_property

from metaaudit.models import MetaArchive, MetaLog
from metaaudit.visibility import sees_all
from signing.admin.pages import PlainChangeList, ReadOnlyAdmin, Section, code, text_block
from signing.merkle import leaf_hash

if TYPE_CHECKING:
    from django.http import HttpRequest

    _ModelAdmin = admin.ModelAdmin[MetaLog]
    _Paginator = Paginator[MetaLog]
else:
    _ModelAdmin, _Paginator = admin.ModelAdmin, Paginator

_COUNTED = 10_000
_FIELDS = (
    "at", "user_id", "user_name", "auth", "auth_id", "action", "phase", "completes", "method", "path", "route", "query",
    "query_hash_hex", "result_count", "result_digest_hex", "sizes", "status", "duration_ms", "bytes", "ip", "agent",
    "request_id", "ledger", "leaf_index", "leaf_hash_hex", "record_text",
)  # fmt: skip


class BoundedPaginator(_Paginator):
    """Counts no further than people turn pages, so that a list costs the same at any size."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or _COUNTED if there are more."""
        rows: Any = self.object_list
        return len(rows[:_COUNTED].values_list("pk", flat=True))


@admin.register(MetaLog)
class MetaLogAdmin(_ModelAdmin):
    """Every access, the newest first."""

    list_display = ("at", "user_name", "action", "phase", "method", "path", "status", "result_count", "ip")
    list_filter = ("auth", "phase", "status")
    search_fields = ("user_id__exact", "user_name__exact", "action__exact", "route__exact")
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    fields = readonly_fields = _FIELDS

    def has_view_permission(self, request: HttpRequest, obj: MetaLog | None = None) -> bool:
        """Let the auditor of auditors look; who is merely a superuser sees his own trace on its page."""
        del obj
        return sees_all(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it to the same people."""
        return sees_all(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: accesses make their own records."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: MetaLog | None = None) -> bool:
        """Refuse: records stay as they are."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: MetaLog | None = None) -> bool:
        """Refuse, as above."""
        del request, obj
        return False

    @admin.display(description="query hash")
    def query_hash_hex(self, log: MetaLog) -> str:
        """Return the hash as people compare it."""
        return bytes(log.query_hash).hex()

    @admin.display(description="result digest")
    def result_digest_hex(self, log: MetaLog) -> str:
        """Return the digest, if there is one."""
        return "" if log.result_digest is None else bytes(log.result_digest).hex()

    @admin.display(description="leaf hash")
    def leaf_hash_hex(self, log: MetaLog) -> str:
        """Return the leaf that the ledger holds."""
        return leaf_hash(bytes(log.record)).hex()

    @admin.display(description="record")
    def record_text(self, log: MetaLog) -> str:
        """Return the bytes that are hashed, as text."""
        return bytes(log.record).decode(errors="replace")


@admin.register(MetaArchive)
class MetaArchiveAdmin(ReadOnlyAdmin):
    """What is archived: one row for each tombstone. They are few, so one list holds them all."""

    change_list_class = PlainChangeList
    list_display = ("until", "ledger", "first_leaf", "end_leaf", "export")

    @admin.display(description="accesses up to")
    def until(self, archive: MetaArchive) -> str:
        """Return the time of the youngest access in it."""
        said = archive.tombstone
        return "not a tombstone of ours" if said is None else f"{said.until_moment:%Y-%m-%d %H:%M:%S} UTC"

    def export(self, archive: MetaArchive) -> str:
        """Return the export that has the accesses."""
        said = archive.tombstone
        return "?" if said is None else said.export

    def sections(self, request: HttpRequest, found: MetaArchive) -> list[Section]:
        """Return the tombstone, readable and as it is stored."""
        del request
        said = {} if found.tombstone is None else found.tombstone.as_member()
        record = bytes(found.record)
        return [
            Section("What it says", [(_label(name), str(value)) for name, value in said.items()]),
            Section(
                "As it is stored",
                [
                    ("Ledger and leaf", f"{found.ledger.name}, {found.leaf_index}"),
                    ("Record", text_block(record.decode(errors="backslashreplace"))),
                    ("Leaf hash", code(leaf_hash(record).hex())),
                ],
            ),
        ]


def _label(member: str) -> str:
    return member.replace("_", " ").capitalize().replace("sha256", "SHA-256")
