"""Exports in the admin: to look at, by whoever may see them."""

from django.contrib.auth.models import User
from django.test import Client

from tests.exports.ordering import made, person


def test_an_export_is_looked_at_and_never_changed(olivia: User) -> None:
    export = made(olivia)
    otto = person("otto", has_key=False)
    otto.is_staff = True
    otto.save()
    client = Client()
    client.force_login(otto)
    assert f'href="/exports/{export.pk}/"' in client.get("/admin/exports/export/").content.decode()
    page = client.get(f"/admin/exports/export/{export.pk}/change/")
    assert export.dataset_digest in page.content.decode()
    assert f'href="/exports/{export.pk}/"' in page.content.decode()
    assert "audit of orders" in page.content.decode()
    assert b'name="purpose"' not in page.content
    assert client.post(f"/admin/exports/export/{export.pk}/change/", {"purpose": "x"}).status_code == 403
    assert client.get("/admin/exports/export/add/").status_code == 403
