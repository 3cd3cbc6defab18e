r"""Windows events as flat JSON, as NXLog, Winlogbeat's flat forms and the Security-Datasets write them. Pure.

    our field     from
    occurred_at   TimeCreated, else @timestamp, else EventTime; digits finer than a microsecond are cut
    type          windows.<channel>.<EventID>: windows.security.4688, windows.sysmon.10, windows.powershell.4104
    action        first line of Message; by _ACTIONS where that line is different every time
    actor         DOMAIN\name of Subject…, or of Target… where somebody logs on or off (_LOGONS), else User,
                  AccountName, the user that PowerShell names in its text, the process (Image, …), else the host
    target        first of _TARGETS that says something (registry key, file, process, address, …), else DOMAIN\name of
                  Target…, else first of _LAST_TARGETS
    ip            IpAddress, SourceIp, SourceAddress, ClientAddress where it is an address
    outcome       Keywords: bit 0x0010000000000000 (audit failure) failure, 0x0020000000000000 (audit success) success,
                  else unknown
    severity      by _SEVERITIES (log cleared, audit policy changed, …), else Level: 1 critical, 2 error, 3 warning,
                  4 info, 5 debug, 0 info; an audit failure at least warning
    source        Hostname, unless --source says otherwise
    event_id      none, for RecordNumber starts again when a log is cleared: the chain over the lines (event_ids.py)

`data` is the whole event. Source: Windows event schema, "System" section; Sysmon and Security event references.
"""

from __future__ import annotations

import re
from typing import Any

from activity.errors import BadEventsError, Problem
from activity.event import Event
from activity.formats.options import Options
from activity.formats.values import first_text, fitted, ip_of, moment, text_of, type_word

_AUDIT_FAILURE, _AUDIT_SUCCESS = 0x0010000000000000, 0x0020000000000000

_CHANNELS = {"windows powershell": "powershell", "powershellcore/operational": "powershell"}
_MICROSOFT = "microsoft-windows-"

# (channel, id): what happened, where Message does not begin with it
_ACTIONS = {
    ("powershell", 400): "Engine started",
    ("powershell", 403): "Engine stopped",
    ("powershell", 600): "Provider started",
    ("powershell", 800): "Pipeline execution details",
    ("powershell", 4103): "Command invocation",
    ("powershell", 4104): "Script block text",
    ("powershell", 4105): "Script block started",
    ("powershell", 4106): "Script block completed",
    ("powershell", 24577): "ISE script file started",
    ("system", 104): "Event log cleared",
    ("security", 1102): "Audit log cleared",
}

# Subject… is the machine that noticed it; the one who acts is Target…
_LOGONS = frozenset({4624, 4625, 4634, 4647, 4768, 4769, 4770, 4771, 4776, 4778, 4779, 4800, 4801})

_SEVERITIES = {
    ("security", 1102): "warning",  # audit log cleared
    ("system", 104): "warning",  # event log cleared
    ("security", 4719): "notice",  # audit policy changed
    ("security", 4912): "notice",  # per-user audit policy changed
    ("security", 4697): "notice",  # service installed
    ("system", 7045): "notice",  # service installed
    ("security", 4720): "notice",  # account created
    ("security", 4728): "notice",  # member added to a global group
    ("security", 4732): "notice",  # member added to a local group
    ("security", 4756): "notice",  # member added to a universal group
}
_LEVELS = {"1": "critical", "2": "error", "3": "warning", "4": "info", "5": "debug"}

_USERS = ("User", "AccountName", "SourceUser")
_PROCESSES = ("SourceImage", "Image", "ProcessName", "Application")
_TARGETS = (
    *("TargetObject", "TargetFilename", "PipeName", "Device", "ImageLoaded", "TargetImage", "QueryName"),
    *("DestinationIp", "DestAddress", "NewProcessName", "ObjectName", "TargetName", "ServiceName", "Service"),
)
_LAST_TARGETS = (
    *("TargetUserSid", "SubcategoryGuid", "LogonProcessName", "ObjectServer"),
    *("ScriptBlockId", "Workstation", "ProcessName", "Image"),
)
_POWERSHELL_USER = re.compile(r"^\s*User(?:Id)?\s*=\s*(\S[^\r\n]*)", re.MULTILINE)


def recognises(value: dict[str, Any]) -> bool:
    """Tell whether an object looks like a Windows event."""
    return "EventID" in value and ("Channel" in value or "SourceName" in value)


def to_event(value: dict[str, Any], *, options: Options) -> Event:
    """Return the event.

    Raises BadEventsError naming the member that is missing and that nothing stands in for.
    """
    channel, number = _channel(value), _number(value)
    keywords = _keywords(value)
    host = options.source or first_text(value, ("Hostname", "Computer", "ComputerName"))
    if not host:
        raise BadEventsError([Problem("$.Hostname", "is missing; --source can stand in")])
    return Event(
        type=f"windows.{channel}.{number}",
        action=fitted("action", _action(value, channel, number)),
        actor=fitted("actor", _actor(value, number) or host),
        occurred_at=_occurred_at(value),
        source=fitted("source", host),
        target=fitted("target", _target(value, number)),
        outcome=_outcome(keywords),
        severity=_severity(value, channel, number, keywords),
        ip=ip_of(first_text(value, ("IpAddress", "SourceIp", "SourceAddress", "ClientAddress"))),
        data=value,
    )


def _channel(value: dict[str, Any]) -> str:
    name = first_text(value, ("Channel", "SourceName")).lower()
    if not name:
        raise BadEventsError([Problem("$.Channel", "is missing")])
    word = _CHANNELS.get(name) or type_word(name.removeprefix(_MICROSOFT).removesuffix("/operational"))
    return word[:_CHANNEL_CHARACTERS] or "unknown"


_CHANNEL_CHARACTERS = 100


def _number(value: dict[str, Any]) -> int:
    text = text_of(value.get("EventID"))
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise BadEventsError([Problem("$.EventID", "must be the number of the event")])
    return int(text)


def _occurred_at(value: dict[str, Any]) -> Any:
    for key, path in (
        ("TimeCreated", "$.TimeCreated"),
        ("@timestamp", '$["@timestamp"]'),
        ("EventTime", "$.EventTime"),
    ):
        if text := text_of(value.get(key)):
            return moment(text, path)
    raise BadEventsError([Problem("$.TimeCreated", "is missing, and so is @timestamp")])


def _action(value: dict[str, Any], channel: str, number: int) -> str:
    if known := _ACTIONS.get((channel, number)):
        return known
    first_line = text_of(value.get("Message")).partition("\n")[0].strip().rstrip(".:")
    return first_line or f"Event {number}"


def _account(value: dict[str, Any], prefix: str) -> str:
    name = text_of(value.get(f"{prefix}UserName"))
    domain = text_of(value.get(f"{prefix}DomainName"))
    return f"{domain}\\{name}" if name and domain else name


def _actor(value: dict[str, Any], number: int) -> str:
    account = (number in _LOGONS and _account(value, "Target")) or _account(value, "Subject")
    if account or (account := first_text(value, _USERS)):
        return account
    for key in ("ContextInfo", "Message"):
        if "Script" in (text := text_of(value.get(key))) and (found := _POWERSHELL_USER.search(text)):
            return found[1].strip()
    return first_text(value, _PROCESSES)


def _target(value: dict[str, Any], number: int) -> str:
    if number in _LOGONS:
        return first_text(value, ("TargetServerName", "ServiceName", "WorkstationName", "Workstation", "Hostname"))
    return first_text(value, _TARGETS) or _account(value, "Target") or first_text(value, _LAST_TARGETS)


def _keywords(value: dict[str, Any]) -> int:
    try:
        return int(text_of(value.get("Keywords")) or "0", 16)
    except ValueError:
        return 0


def _outcome(keywords: int) -> str:
    if keywords & _AUDIT_FAILURE:
        return "failure"
    return "success" if keywords & _AUDIT_SUCCESS else "unknown"


def _severity(value: dict[str, Any], channel: str, number: int, keywords: int) -> str:
    severity = _SEVERITIES.get((channel, number)) or _LEVELS.get(text_of(value.get("Level")), "info")
    return "warning" if keywords & _AUDIT_FAILURE and severity in ("debug", "info", "notice") else severity
