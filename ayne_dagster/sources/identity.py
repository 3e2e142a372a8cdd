"""Who asks, for sources that want to know: the User-Agent. No keys; those are in `credentials`."""

from __future__ import annotations

from importlib.metadata import version

import httpx

from ayne_dagster.settings.variables import checked_contact

PRODUCT = "ayne_dagster-bot"
"""Our name, which tells a robot; a robots.txt may name it."""


def user_agent(contact: str) -> str:
    """A name that tells a robot, a contact, the library, as Wikimedia's policy wants it and others are glad of.

    Raises:
        SettingsError: the contact cannot be sent.
    """
    contact = checked_contact("AYNE_CONTACT", contact)
    return f"{PRODUCT}/{version('ayne_dagster')} ({contact}) httpx/{httpx.__version__}"
