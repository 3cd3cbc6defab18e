"""The pages of exports: ordering from the log list, following, taking, and one's own key."""

import html
import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template.loader import render_to_string
from django.test import Client

from activity import authority
from activity.services import record_many
from auditlog_project.roles import READER
from exports import files, queries, services, tasks
from exports.models import Export
from exports.views import orders as views
from signing import export_keys
from signing.models import ExportCertificate
from signing.services import open_ledger
from tests.administrators import key_steps
from tests.clusters import Database
from tests.exports.ordering import made, orders, person
from tests.signing.test_export_keys import outside_ca


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status, response.content
    return response.content.decode()


def test_the_log_list_leads_to_an_order_with_its_filters(olivia: User) -> None:
    record_many(orders(3))
    client = signed_in(olivia)
    listed = page(client, "/logs/?actor=actor-1&occurred_from=2026-11-23T12:00")
    address = listed.split('href="/exports/new/')[1].split('"')[0].replace("&amp;", "&")
    form = page(client, f"/exports/new/{address}")
    assert 'name="actor" value="actor-1"' in form
    assert 'name="occurred_from" value="2026-11-23T12:00:00"' in form
    assert "Signed as" in form
    names = re.findall(r'name="([^"]+)"', form)
    assert sorted(name for name in set(names) if names.count(name) > 1) == ["csrfmiddlewaretoken", "formats"]


def test_an_order_leads_to_its_files(olivia: User) -> None:
    record_many(orders(4))
    client = signed_in(olivia)
    sent = {"ledger": "activity", "formats": ["csv", "ndjson"], "purpose": "audit", "actor": "actor-1", "ip": ""}
    response = client.post("/exports/new/", sent, follow=True)
    export = Export.objects.get()
    assert response.redirect_chain == [(f"/exports/{export.pk}/", 302)]
    assert (export.state, export.filters, export.entries) == ("ready", {"actor": "actor-1"}, 1)
    shown = response.content.decode()
    assert export.dataset_digest in shown
    assert f"/exports/{export.pk}/download/entries.csv" in shown
    taken = client.get(f"/exports/{export.pk}/download/")
    assert taken["Content-Disposition"] == f'attachment; filename="auditlog-export-{export.pk}.asice"'
    assert b"".join(taken)[:4] == b"PK\x03\x04"
    assert int(taken["Content-Length"]) == export.file_size
    csv = client.get(f"/exports/{export.pk}/download/entries.csv")
    assert b"".join(csv).startswith(b"leaf_index,")
    assert client.get(f"/exports/{export.pk}/download/nothing.txt").status_code == 409
    assert export.purpose in page(client, "/exports/")


def test_entries_that_are_ticked_in_the_list_are_ordered_one_by_one(olivia: User) -> None:
    receipts = record_many(orders(4))
    client = signed_in(olivia)
    listed = page(client, "/logs/?type=shop.order")
    assert all(f'name="entry" value="{receipt.id}"' in listed for receipt in receipts)
    assert 'formaction="/exports/new/"' in listed
    form = page(client, f"/exports/new/?entry=&entry={receipts[2].id}&entry={receipts[0].id}")
    leaves = f"{receipts[0].leaf_index},{receipts[2].leaf_index}"
    assert f'name="leaf_indexes" value="{leaves}"' in form
    assert "2 entries, named one by one" in form
    assert [f"/logs/{receipt.id}/" in form for receipt in receipts] == [True, False, True, False]
    sent = {"ledger": "activity", "formats": ["csv"], "purpose": "two of them", "leaf_indexes": leaves}
    client.post("/exports/new/", sent)
    export = Export.objects.get()
    assert (export.state, export.filters, export.entries) == ("ready", {"leaf_indexes": leaves}, 2)


def test_ticked_entries_that_cannot_be_ordered_are_named(olivia: User) -> None:
    open_ledger(name="other", by="ada", reason="test")
    open_ledger(name="secret", by="ada", reason="test")
    authority.grant_ledger(ledger="other", to=olivia, by="ada", reason="test")
    mine, others, secret = (record_many(orders(1), ledger=name)[0].id for name in ("activity", "other", "secret"))
    client = signed_in(olivia)
    assert "none is chosen" in page(client, "/exports/new/?entry=", 400)
    refused = page(client, f"/exports/new/?entry={mine}&entry={UUID(int=5)}&entry={secret}&entry=nonsense", 400)
    for one in (UUID(int=5), secret, "nonsense"):
        assert f"there is no {one} that you may read" in refused
    assert f"there is no {mine}" not in refused
    assert "several ledgers (activity, other)" in page(client, f"/exports/new/?entry={mine}&entry={others}", 400)
    assert "no filter stands beside them" in page(client, f"/exports/new/?entry={mine}&actor=ann", 400)


def test_more_ticked_entries_than_can_be_named_are_refused(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_NAMED", 2)
    ticked = "&".join(f"entry={receipt.id}" for receipt in record_many(orders(3)))
    assert "are 3, and 2 can be chosen at once: use a filter" in page(signed_in(olivia), f"/exports/new/?{ticked}", 400)


def test_a_wrong_leaf_stays_on_the_form_with_its_reason(olivia: User) -> None:
    record_many(orders(1))
    sent = {"ledger": "activity", "formats": ["csv"], "purpose": "x", "leaf_indexes": "0, 900"}
    response = signed_in(olivia).post("/exports/new/", sent)
    assert response.status_code == 400
    assert "Leaves one by one: there is no leaf 900" in response.content.decode()
    assert 'name="leaf_indexes" value="0,900"' in response.content.decode()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"formats": ["csv"], "purpose": ""}, "This field is required"),
        ({"formats": [], "purpose": "x"}, "This field is required"),
        ({"formats": ["csv"], "purpose": "x", "ip": "nowhere"}, "IP address: must be an IPv4"),
    ],
)
def test_a_wrong_order_is_said_on_the_form(olivia: User, sent: dict[str, str], told: str) -> None:
    response = signed_in(olivia).post("/exports/new/", {"ledger": "activity", **sent})
    assert response.status_code == 400
    assert told in response.content.decode()
    assert not Export.objects.exists()


def test_without_a_key_one_is_led_to_make_it(site: Database) -> None:
    client = signed_in(person("kim", has_key=False))
    assert "kim has no export key" in page(client, "/exports/new/")
    sent = {"step": "create", "name": "Kim Lee", "algorithm": "ES256", "reason": "exports for the audit"}
    assert client.post("/exports/key/", sent, follow=True).redirect_chain == [("/exports/key/", 302)]
    assert "Kim Lee" in page(client, "/exports/key/")
    assert "Signed as" in page(client, "/exports/new/")
    client.post("/exports/key/", {"step": "revoke", "reason": "leaving"})
    assert "was revoked" in page(client, "/exports/new/")


def test_a_key_is_certified_elsewhere(site: Database) -> None:
    client = signed_in(person("kim", has_key=False))
    assert client.post("/exports/key/", {"step": "certificate", "reason": "x"}).status_code == 400
    sent = {"step": "request", "name": "Kim Lee", "algorithm": "ES256", "reason": "our CA certifies"}
    response = client.post("/exports/key/", sent)
    assert response["Content-Disposition"] == 'attachment; filename="export-key.csr"'
    asked = x509.load_pem_x509_csr(response.content)
    assert asked.is_signature_valid
    assert "still waits for its certificate" in page(client, "/exports/key/")
    wrong = SimpleUploadedFile("kim.pem", b"nothing")
    refused = client.post("/exports/key/", {"step": "certificate", "reason": "it came", "file": wrong})
    assert refused.status_code == 400
    assert 'role="alert"' in refused.content.decode()


def test_a_request_is_withdrawn_by_whoever_made_it(site: Database) -> None:
    client = signed_in(person("kim", has_key=False))
    sent = {"step": "request", "name": "Kim Lee", "algorithm": "ES256", "reason": "our CA certifies"}
    client.post("/exports/key/", sent)
    client.post("/exports/key/", sent)
    first, second = (row.key_id for row in ExportCertificate.objects.filter(person="kim"))
    shown = page(client, "/exports/key/")
    assert shown.index(f'value="{second}"') < shown.index(f'value="{first}"'), "the newest is offered first"
    withdrawal = {"step": "withdraw", "key": first, "reason": "asked twice"}
    assert client.post("/exports/key/", withdrawal, follow=True).redirect_chain == [("/exports/key/", 302)]
    states = dict(ExportCertificate.objects.filter(person="kim").values_list("key_id", "key__state"))
    assert states == {first: "destroyed", second: "pre-active"}
    assert key_steps()[-1] == ("key.destroyed", "kim", "asked twice")
    assert client.post("/exports/key/", withdrawal).status_code == 400
    client.post("/exports/key/", withdrawal | {"key": second})
    assert "kim has no export key" in page(client, "/exports/key/")
    assert 'value="withdraw"' not in page(client, "/exports/key/")


def test_nobody_withdraws_what_is_not_his_or_no_request(olivia: User) -> None:
    waiting, _ = export_keys.request_certificate(person="olivia", by="olivia", reason="our CA")
    other = signed_in(person("otto", has_key=False))
    export_keys.request_certificate(person="otto", by="otto", reason="our CA")
    withdrawal = {"step": "withdraw", "key": waiting.key_id, "reason": "mischief"}
    assert other.post("/exports/key/", withdrawal).status_code == 400
    at_work = ExportCertificate.objects.get(person="olivia", key__state="active")
    assert signed_in(olivia).post("/exports/key/", withdrawal | {"key": at_work.key_id}).status_code == 400
    assert signed_in(olivia).post("/exports/key/", withdrawal | {"reason": ""}).status_code == 400
    states = set(ExportCertificate.objects.filter(person="olivia").values_list("key__state", flat=True))
    assert states == {"active", "pre-active"}


def test_a_key_is_brought_along(site: Database, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    own, ca = (x509.load_pem_x509_certificate(one) for one in outside_ca(key.public_key()))
    content = pkcs12.serialize_key_and_certificates(b"kim", key, own, [ca], BestAvailableEncryption(b"secret"))
    client = signed_in(person("kim", has_key=False))
    sent = {"step": "import", "password": "wrong", "reason": "kept on a card"}
    wrong = client.post("/exports/key/", sent | {"file": SimpleUploadedFile("kim.p12", content)})
    assert wrong.status_code == 400
    assert "another password" in wrong.content.decode()
    right = client.post("/exports/key/", sent | {"file": SimpleUploadedFile("kim.p12", content), "password": "secret"})
    assert right.status_code == 302
    shown = page(client, "/exports/key/")
    assert own.fingerprint(hashes.SHA256()).hex() in shown
    assert ca.fingerprint(hashes.SHA256()).hex() in shown
    assert ca.public_bytes(Encoding.PEM).decode() in html.unescape(shown)


def test_a_large_export_shows_how_far_it_is(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(services, "PART_LEAVES", 256)
    record_many(orders(600))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    client = signed_in(olivia)
    address = f"/exports/{export.pk}/"
    assert f'hx-get="{address}progress/"' in page(client, address)
    services._make_next_part(export.pk)
    assert 'value="42"' in page(client, f"{address}progress/")
    services.work(export=export.pk)
    ended = client.get(f"{address}progress/")
    assert ended["HX-Refresh"] == "true"
    assert "hx-get" not in ended.content.decode()


def test_large_numbers_are_grouped() -> None:
    running = Export(id=UUID(int=1), state=Export.State.RUNNING)
    far = queries.Progress(1_234_567, 2_000_000, 10, 8_765.4, timedelta(seconds=130), is_joining=False)
    shown = render_to_string("exports/progress.html", {"export": running, "progress": far})
    assert "1,234,567 entries, 8,765 a second, about 0:02:10 left" in shown


def test_the_list_goes_on_where_its_page_ended(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_LISTED", 2)
    ordered = [str(made(olivia).pk) for _ in range(3)]
    client = signed_in(olivia)
    first = page(client, "/exports/")
    assert [one in first for one in ordered] == [False, True, True]
    (address,) = re.findall(r'rel="next" href="([^"]+)"', first)
    older = page(client, f"/exports/{address}")
    assert [one in older for one in ordered] == [True, False, False]
    assert 'rel="next"' not in older
    assert "First page" in older


def test_a_file_that_the_storage_lost_is_said_on_its_page(olivia: User) -> None:
    record_many(orders(3))
    export = made(olivia)
    client = signed_in(olivia)
    storages["exports"].delete(export.file)
    shown = page(client, f"/exports/{export.pk}/")
    assert "It cannot be downloaded:" in shown
    assert "Order the same again" in shown
    assert "Take it" not in shown
    assert "not in the storage any more" in page(client, f"/exports/{export.pk}/download/", 409)


def test_a_small_export_that_fails_leads_to_its_reason(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "store", broken)
    sent = {"ledger": "activity", "formats": ["csv"], "purpose": "audit"}
    response = signed_in(olivia).post("/exports/new/", sent, follow=True)
    assert response.status_code == 200
    assert "It could not be made:" in response.content.decode()
    assert "No space left on device" in response.content.decode()


def test_an_export_is_cancelled_from_its_page(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FEW", -1)
    named = {"leaf_indexes": "0,1"}
    export = services.order(by=olivia, ledger="activity", filters=named, formats=["csv"], purpose="audit").export
    address = f"/exports/{export.pk}/cancel/"
    assert signed_in(person("otto")).post(address).status_code == 403
    assert signed_in(olivia).post(address).status_code == 302
    assert signed_in(olivia).post(address).status_code == 409
    ended = page(signed_in(olivia), f"/exports/{export.pk}/")
    assert "It was cancelled" in ended
    assert 'href="/exports/new/?leaf_indexes=0%2C1&amp;ledger=activity">Order the same again' in ended
    assert "<strong>leaf_indexes</strong> 0, 1<" in ended


def test_others_see_exports_of_ledgers_they_read_and_only_with_the_right(olivia: User) -> None:
    export = made(olivia)
    assert page(signed_in(person("otto", has_key=False)), f"/exports/{export.pk}/")
    assert page(signed_in(person("rita", READER, has_key=False)), f"/exports/{export.pk}/", 403)
    stranger = User.objects.create_superuser("root")
    assert page(signed_in(stranger), f"/exports/{export.pk}/", 404)
    assert Client().get(f"/exports/{export.pk}/").status_code == 302


def test_an_export_of_nobody_is_not_there(olivia: User) -> None:
    assert signed_in(olivia).get(f"/exports/{UUID(int=1)}/").status_code == 404


def test_whoever_ordered_a_large_export_gets_one_mail(
    olivia: User, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[object]
) -> None:
    monkeypatch.setattr(services, "FEW", -1)
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    tasks.work(str(export.pk))
    tasks.work(str(export.pk))
    (mail,) = mailoutbox
    assert mail.to == ["olivia@example.org"]  # type: ignore[attr-defined]
    assert str(export.pk) in mail.body  # type: ignore[attr-defined]


def test_whoever_ordered_a_large_export_is_told_that_it_failed(
    olivia: User, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[object]
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("a storage of another kind")

    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(files, "store", broken)
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    tasks.work(str(export.pk))
    (mail,) = mailoutbox
    assert mail.subject == "Your export is failed"  # type: ignore[attr-defined]
    assert "in the server's log: tell whoever runs the server" in mail.body  # type: ignore[attr-defined]
    assert "a storage of another kind" not in mail.body  # type: ignore[attr-defined]


def test_the_mail_comes_even_if_the_storage_removes_nothing(
    olivia: User, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[object]
) -> None:
    def away(*_: object) -> str:
        raise ConnectionError("the storage is away")

    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(files, "store", away)
    monkeypatch.setattr(files, "remove", away)
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    with pytest.raises(ConnectionError):
        tasks.work(str(export.pk))
    assert len(mailoutbox) == 1
