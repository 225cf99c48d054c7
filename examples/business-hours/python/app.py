"""Outside business hours inbound calls ring at night; calls to barred numbers are refused with a reason."""

import re
from functools import cache

from componentize_py_types import Err
from wit_world.exports.configuration import Problem
from wit_world.exports.routing import Amendments, Decision_Pass, Decision_Refuse, Decision_Route
from wit_world.imports import clock, directory, settings
from wit_world.imports.calls import Caller_Endpoint, Caller_Trunk
from wit_world.imports.settings import Value_Number, Value_Text, Value_Texts
from wit_world.imports.types import NextOn, Plan, Refusal, Stage, Target_Endpoint

DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAY = 24 * 60
SPAN = re.compile(r"([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])")
PREFIX = re.compile(r"[0-9+*#]{1,32}")
BARRED = re.compile(r"barred\.([0-9]+)\.(prefix|reason)")


class Rules:
    """The settings, ready to use; `problems` says what is wrong with them."""

    def __init__(self, written):
        self.problems = []
        self.utc_offset_minutes = 0
        # Spans of each day, Monday first: minutes since midnight, the end excluded.
        self.hours = [[] for _ in DAYS]
        self.night = None
        # Extensions that may call barred numbers.
        self.exempt = []
        self.barred = []
        for setting in written:
            self.read(setting.key, setting.value)
        for index, barred in enumerate(self.barred):
            for name in ("prefix", "reason"):
                if name not in barred:
                    self.problem(f"barred.{index}.{name}", "is missing")
        keys = {setting.key for setting in written}
        if "night" not in keys and keys.intersection(DAYS):
            self.problem("night", "is missing: which endpoint rings outside the hours?")

    def problem(self, key, message):
        self.problems.append(Problem(key, message))

    def read(self, key, value):
        barred = BARRED.fullmatch(key)
        text = value.value if isinstance(value, Value_Text) else ""
        if key in DAYS:
            if isinstance(value, Value_Texts):
                self.hours[DAYS.index(key)] = [span for span in (self.span(key, text) for text in value.value) if span]
            else:
                self.problem(key, "should be an array of time spans")
        elif barred:
            index, name = int(barred[1]), barred[2]
            if index == len(self.barred):
                self.barred.append({})
            self.barred[index][name] = text
            if name == "prefix" and not PREFIX.fullmatch(text):
                self.problem(key, "should be 1 to 32 digits, +, * or #")
            if name == "reason" and not 1 <= len(text.encode()) <= 200:
                self.problem(key, "should be a text of 1 to 200 octets")
        elif key == "utc_offset_minutes":
            if isinstance(value, Value_Number) and -720 <= value.value <= 840:
                self.utc_offset_minutes = value.value
            else:
                self.problem(key, "should be an integer from -720 to 840")
        elif key == "night":
            self.night = text
            if not isinstance(value, Value_Text):
                self.problem(key, "should be the id of an endpoint")
            elif directory.endpoint_by_id(text) is None:
                self.problem(key, f"there is no endpoint `{text}`")
        elif key == "exempt":
            if isinstance(value, Value_Texts):
                self.exempt = value.value
            else:
                self.problem(key, "should be an array of extensions")
        else:
            self.problem(key, "is not a setting of this policy")

    def span(self, key, text):
        """`08:00-17:30` in minutes since midnight; 24:00 is the end of the day."""
        if match := SPAN.fullmatch(text):
            begin = int(match[1]) * 60 + int(match[2])
            end = int(match[3]) * 60 + int(match[4])
            if begin < end <= DAY:
                return begin, end
        self.problem(key, f"`{text}` is no time span: write it like 08:00-17:30")
        return None

    def bars(self, called):
        """Why `called` is barred."""
        return next((barred["reason"] for barred in self.barred if called.startswith(barred["prefix"])), None)

    def exempts(self, caller):
        if not isinstance(caller, Caller_Endpoint):
            return False
        endpoint = directory.endpoint_by_id(caller.value)
        return endpoint is not None and endpoint.extension in self.exempt

    def open(self, now_ms):
        day, minute = divmod(now_ms // 60_000 + self.utc_offset_minutes, DAY)
        # 1970-01-01 was a Thursday.
        return any(begin <= minute < end for begin, end in self.hours[(day + 3) % 7])


@cache
def rules():
    """Read once: settings never change during the life of an instance."""
    return Rules(settings.all())


class Routing:
    def route(self, facts, _call):
        reason = rules().bars(facts.called)
        if reason is not None and not rules().exempts(facts.caller):
            return Decision_Refuse(Refusal(403, "Number barred", f"{facts.called}: {reason}"))
        night = rules().night
        if isinstance(facts.caller, Caller_Trunk) and night is not None and not rules().open(clock.now_ms()):
            next_on = NextOn(busy=False, no_answer=True, unreachable=True)
            return Decision_Route(Plan([Stage([Target_Endpoint(night)], None, next_on)]))
        return Decision_Pass(Amendments(None, None, None, []))


class Configuration:
    def check(self, written):
        problems = Rules(written).problems
        if problems:
            raise Err(problems)
