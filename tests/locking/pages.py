"""People at the pages of locks: the scene, and clients of those who are in it."""

import html
import re
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from tests.clusters import Database
from tests.locking.test_services import Scene


class Pages:
    """The scene, an officer and an approver at their browsers, and anybody else by role."""

    def __init__(self, database: Database) -> None:
        self.scene = Scene(database)
        self.officer, self.approver = self.of(self.scene.officer), self.of(self.scene.approver)

    def of(self, user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client


def said(response: Any, status: int = 200) -> str:
    """Return what a page says, without its markup."""
    assert response.status_code == status, (response.status_code, response.content[:2000])
    text = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(text))


def followed(response: Any) -> str:
    """Return what the page says to which one was led."""
    assert response.status_code == 302, (response.status_code, said(response, response.status_code))
    page: Any = response.client.get(response["Location"])
    return said(page)


def hidden(response: Any, name: str) -> str:
    """Return the value of a hidden field."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', response.content.decode())
    assert found, name
    return html.unescape(found[1])
