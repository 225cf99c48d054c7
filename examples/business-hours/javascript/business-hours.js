// Outside business hours inbound calls ring at night; calls to barred numbers are refused with a reason.

import { nowMs } from "holdfast:policy/clock@0.1.2";
import { endpointById } from "holdfast:policy/directory@0.1.2";
import { all } from "holdfast:policy/settings@0.1.2";

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const DAY = 24 * 60;

export const routing = {
    route(facts, _call) {
        const barred = rules().barred.find(({ prefix }) => facts.called.startsWith(prefix));
        if (barred && !exempts(facts.caller)) {
            return { tag: "refuse", val: { status: 403, phrase: "Number barred", detail: `${facts.called}: ${barred.reason}` } };
        }
        const { night } = rules();
        if (facts.caller.tag === "trunk" && night !== undefined && !open(Number(nowMs()))) {
            const stage = {
                targets: [{ tag: "endpoint", val: night }],
                next: { busy: false, noAnswer: true, unreachable: true },
            };
            return { tag: "route", val: { stages: [stage] } };
        }
        return { tag: "pass", val: { attributes: [] } };
    },
};

export const configuration = {
    check(written) {
        const { problems } = read(written);
        if (problems.length > 0) throw problems;
    },
};

// Read once: settings never change during the life of an instance.
let kept;
function rules() {
    return (kept ??= read(all()));
}

// The settings, ready to use; `problems` says what is wrong with them.
function read(written) {
    const read = { problems: [], utcOffsetMinutes: 0, hours: DAYS.map(() => []), night: undefined, exempt: [], barred: [] };
    const problem = (key, message) => read.problems.push({ key, message });
    for (const { key, value } of written) {
        const barred = /^barred\.([0-9]+)\.(prefix|reason)$/.exec(key);
        if (DAYS.includes(key)) {
            if (value.tag !== "texts") {
                problem(key, "should be an array of time spans");
                continue;
            }
            for (const text of value.val) {
                const found = span(text);
                if (found) read.hours[DAYS.indexOf(key)].push(found);
                else problem(key, `\`${text}\` is no time span: write it like 08:00-17:30`);
            }
        } else if (barred) {
            const [, index, name] = barred;
            const text = value.tag === "text" ? value.val : "";
            (read.barred[index] ??= {})[name] = text;
            if (name === "prefix" && !/^[0-9+*#]{1,32}$/.test(text)) problem(key, "should be 1 to 32 digits, +, * or #");
            if (name === "reason" && (text === "" || octets(text) > 200)) problem(key, "should be a text of 1 to 200 octets");
        } else if (key === "utc_offset_minutes") {
            if (value.tag === "number" && value.val >= -720 && value.val <= 840) read.utcOffsetMinutes = Number(value.val);
            else problem(key, "should be an integer from -720 to 840");
        } else if (key === "night") {
            read.night = value.val;
            if (value.tag !== "text") problem(key, "should be the id of an endpoint");
            else if (endpointById(value.val) === undefined) problem(key, `there is no endpoint \`${value.val}\``);
        } else if (key === "exempt") {
            if (value.tag === "texts") read.exempt = value.val;
            else problem(key, "should be an array of extensions");
        } else {
            problem(key, "is not a setting of this policy");
        }
    }
    read.barred.forEach((barred, index) => {
        for (const name of ["prefix", "reason"]) {
            if (barred[name] === undefined) problem(`barred.${index}.${name}`, "is missing");
        }
    });
    const keys = written.map(({ key }) => key);
    if (!keys.includes("night") && keys.some((key) => DAYS.includes(key))) {
        problem("night", "is missing: which endpoint rings outside the hours?");
    }
    return read;
}

// `08:00-17:30` in minutes since midnight; 24:00 is the end of the day.
function span(text) {
    const match = /^([0-9]{2}):([0-5][0-9])-([0-9]{2}):([0-5][0-9])$/.exec(text);
    if (!match) return undefined;
    const [begin, end] = [match[1] * 60 + +match[2], match[3] * 60 + +match[4]];
    return begin < end && end <= DAY ? { begin, end } : undefined;
}

// Octets of a text in UTF-8, which is what the contract counts.
function octets(text) {
    let count = 0;
    for (const char of text) {
        const code = char.codePointAt(0);
        count += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    }
    return count;
}

function exempts(caller) {
    if (caller.tag !== "endpoint") return false;
    const endpoint = endpointById(caller.val);
    return endpoint !== undefined && rules().exempt.includes(endpoint.extension);
}

function open(now) {
    const minutes = Math.floor(now / 60_000) + rules().utcOffsetMinutes;
    const day = Math.floor(minutes / DAY);
    const minute = minutes - day * DAY;
    // 1970-01-01 was a Thursday; the rest of a negative day is negative here.
    return rules().hours[(((day + 3) % 7) + 7) % 7].some(({ begin, end }) => begin <= minute && minute < end);
}
