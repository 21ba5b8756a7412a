//! `wardctl explain`: what a code means and what to do.

use std::process::ExitCode;

use crate::out;

/// Code, what it means, what to do.
const CODES: &[(&str, &str, &str)] = &[
    (
        "WD-0100",
        "A write or sync of the journal failed. wardd never tries a failed sync again, since the kernel may have thrown the data away: it stops, and nothing that was not durable was acknowledged.",
        "Look at the disk (`dmesg`, SMART), then start wardd again: it recovers by itself, and senders repeat what had no answer.",
    ),
    ("WD-0101", "Another wardd has this data directory open.", "Stop that one, or give this one another data.directory."),
    ("WD-0102", "The disk has no room for the journal. Devices are told to come again (NAK, AR, 503); reading goes on.", "Free space: intake resumes by itself."),
    ("WD-0103", "More appends wait for the disk than are taken.", "Look at wardd_journal_commit_seconds: the disk is slow, or the load is above what it can sync."),
    ("WD-0104", "The events of one command are larger than a record of the journal may be.", "Send it in parts."),
    ("WD-0105", "A stored event cannot be read by this release.", "Start the release that wrote it, or a newer one."),
    (
        "WD-0106",
        "The journal is damaged at a place that had been acknowledged. wardd does not start, so that nothing is built on it.",
        "Keep the directory as it is, restore the named segment from a mirror or backup, run `wardctl journal verify`.",
    ),
    ("WD-0107", "The journal's writer does not answer; systemd's watchdog is not fed and will start wardd anew.", "Look at the disk: a sync hangs."),
    (
        "WD-0108",
        "The file `high-water`, which says how far the journal was acknowledged, is missing or unreadable: a cut tail could not be told.",
        "Restore it. When it is lost: `wardctl journal verify` says where the log ends, `wardctl journal accept-end --event N` takes that as the truth.",
    ),
    ("WD-0110", "The key ring's file is not there.", "Create one with `wardctl keyring new FILE` for new data; for old data bring back the one that sealed it."),
    ("WD-0111", "Others than wardd's user can read the key ring.", "chmod 600 FILE"),
    ("WD-0112", "The key ring's file has not the right form.", "Bring it back from its copy; do not edit it."),
    ("WD-0113", "No key ring is named.", "Set journal.keyring, or give the systemd credential wardd-keyring."),
    ("WD-0114", "There is a key ring of this name already, and it is never overwritten.", "Name another file, or use `wardctl keyring rotate`."),
    (
        "WD-0109",
        "The mirror of the journal cannot be written any more; wardd goes on with its own disk alone.",
        "Mend or replace the mirror's disk, empty or not, and restart wardd when it suits: the mirror is brought up to date at the start.",
    ),
    (
        "WD-0115",
        "The file of the keys of persons (`personal-keys`, beside the journal) is lost or damaged, and what those keys seal cannot be read.",
        "Bring the file back from the mirror or a backup: `wardctl heal`, or a copy of it.",
    ),
    (
        "WD-0116",
        "The key ring of a journal is not where the configuration says, and a new one would open nothing of it.",
        "Bring back your copy of the key ring. To begin a new house, move the data directory away first.",
    ),
    (
        "WD-0120",
        "The store of views failed. It holds nothing that the journal does not.",
        "Nothing, when the disk takes writes again: wardd opens it anew within seconds, and rebuilds it when it is damaged. When it goes on, look at the disk; at worst stop wardd, delete the `views` folder of the data directory, and start again.",
    ),
    ("WD-0130", "There is no journal to copy.", "Name the data directory of a wardd that has run."),
    ("WD-0131", "The folder of the backup holds a copy of another journal.", "Name an empty folder, or the one of this journal."),
    ("WD-0132", "A restore never overwrites a journal.", "Move the old one away, or restore into another data directory."),
    (
        "WD-0133",
        "Journal and mirror are two different logs, and wardd does not choose between patients' records.",
        "Run `wardctl journal verify` on both, find out which one is right, move the other away and start again: what is missing is made anew from the right one.",
    ),
    (
        "WD-0134",
        "The journal was damaged and has been healed from its mirror at the start.",
        "Nothing was lost. Replace the disk of the data directory soon; the damaged segments lie beside the healed ones as `.damaged`.",
    ),
    (
        "WD-0306",
        "The configuration was read again at SIGHUP and not taken over, since it has a fault or changes more than prices, tests and roles. Everything is as it was.",
        "Run `wardd check`, mend what it says, and reload; or restart wardd for devices, beds, cabinets and listeners.",
    ),
    (
        "WD-0201",
        "A part of wardd cannot take more right now: its queue is full, or it is being started again after a failure.",
        "Try again in a moment; look at wardd_actor_restarts_total.",
    ),
    ("WD-0202", "The command was lost in a failure inside wardd; nothing of it was done.", "Send it again with the same Idempotency-Key or control id; report the log."),
    (
        "WD-0203",
        "More than five of the last thousand frames of a line were bad (`expect.bad_frames` of the profile). One byte of checksum lets some damaged frames pass, so results of this device wait in quarantine.",
        "Check cable, plug, ground and baud rate; set parity on both sides where the analyzer can. Compare each held result with the analyzer, then `wardctl quarantine retry`. The line opens again by itself after a thousand good frames.",
    ),
    (
        "WD-0204",
        "An actor failed more than twenty times within a minute and rests for a minute before it is started again.",
        "Report the cause from the log. If a stored event breaks it, start the release that wrote it; restart wardd when the cause is gone.",
    ),
    (
        "WD-0205",
        "The task of a gateway has shown no sign of life for 20 s; systemd's watchdog is not fed and will start wardd anew.",
        "Nothing that was acknowledged is lost. Report the log: it names the device.",
    ),
    (
        "WD-0301",
        "The web server would be open to the network without encryption, or to everybody.",
        "Set tls_certificate and tls_key and take access.open away, or bind to 127.0.0.1.",
    ),
    (
        "WD-0501",
        "access.open is set: nobody is asked who they are, and everybody may do everything.",
        "Leave it for demonstrations. For a house take it away, restart, and make the first user: `wardctl init`, `wardctl first-user`.",
    ),
    (
        "WD-0502",
        "Somebody opened a patient's record in an emergency, which their roles alone do not reach.",
        "Whoever may review it looks: `wardctl emergency list`, then `wardctl emergency review`.",
    ),
    (
        "WD-0503",
        "What was shown to somebody could not be recorded: the journal takes nothing and too much waits already. Care goes on; the audit has a gap.",
        "Free the disk (WD-0102). The log line names user and record: note it where the audit is kept.",
    ),
    (
        "WD-0505",
        "A certificate of ours ends soon, or has ended.",
        "Put a new certificate and key in the same files and reload wardd (SIGHUP): connections that are open go on, new ones take it.",
    ),
    (
        "WD-0506",
        "Five wrong tries within a quarter of an hour locked a user's password, PIN or second factor for as long.",
        "It ends by itself; `wardctl user unlock` ends it at once. When many are locked from one address, look who is behind it.",
    ),
    ("WD-0601", "The file of vital signs and their limits cannot be used.", "Mend what the message says; config/vitals.toml is the commented reference."),
    ("WD-0603", "The file of forms cannot be used.", "Mend what the message says; config/forms.toml is the commented reference."),
    (
        "WD-0602",
        "A vital sign is beyond its limits, and nobody has taken the alert in time.",
        "Look at /beds or GET /api/v1/alerts, go to the patient, and take the alert (take-alert). escalate_seconds in config/vitals.toml says how long it waits.",
    ),
    (
        "WD-0701",
        "Another system would not take a message of what happened here ([[subscribers]]).",
        "Its answer stands in the quarantine (`wardctl quarantine list`). Tell them by hand what the message says, or mend it there; what came after was sent.",
    ),
    (
        "WD-0702",
        "The line to another system that is told what happens here has broken, or nobody answers on it.",
        "Nothing is lost: the log is the buffer, and what it missed is sent in its order when it answers again. See to that system and the network.",
    ),
    (
        "WD-0703",
        "The gateway that sends reminders of appointments ([reminders]) does not take them.",
        "See to it and its address; what is still to come is handed over every half minute until it is taken, and what is over is not.",
    ),
    (
        "WD-0507",
        "The collector of the audit (syslog over TLS) is not there.",
        "Nothing is lost: the log is the buffer. See to the collector and its certificate ([audit] in wardd.toml); what it missed is sent by itself.",
    ),
    ("WD-0504", "The file of roles cannot be used.", "Mend what the message says; config/roles.toml is the commented reference."),
    (
        "WD-0302",
        "Patients' data would go over the network without encryption, to whoever answers.",
        "Name the device's certificate in link.certificate (with [tls]), or pin the other end: link.peers, or an address in digits. For the broker set mqtt.tls.",
    ),
    (
        "WD-0309",
        "systemd opened a socket for wardd that cannot be used, or on another address than the configuration's.",
        "Give ListenStream of wardd.socket and http.bind the same address, then `systemctl daemon-reload` and restart both.",
    ),
    (
        "WD-0310",
        "Traces would leave this machine without encryption.",
        "Run an OpenTelemetry collector on this machine and name it in traces.endpoint; it sends them on as it is told.",
    ),
    (
        "WD-0311",
        "An address that programs may have themselves told at is none that patients' data may go to.",
        "Write it into [subscriptions] endpoints as https://host/path/ with a slash at its end; http:// only for this machine.",
    ),
    (
        "WD-0704",
        "A program that subscribed to changes (FHIR Subscription) does not take what it is told.",
        "See to that program and the network. It is tried again for an hour, in order; then the subscription says error, an item waits in the quarantine, and the program asks anew.",
    ),
    ("WD-0303", "The web server cannot listen on its address.", "Free the port, or set another (http.bind, or --http for the demo)."),
    ("WD-0304", "A certificate, its key or an authority cannot be used.", "Give PEM files that belong together; the message names the file."),
    ("WD-0305", "A device's listener cannot be bound.", "Free the port, or set another in link.bind."),
];

pub(crate) fn run(code: Option<&str>) -> Result<ExitCode, String> {
    let Some(code) = code else {
        CODES.iter().for_each(|(code, meaning, _)| out::line(&format!("{code}  {meaning}")));
        return Ok(ExitCode::SUCCESS);
    };
    let (code, meaning, way_out) =
        CODES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(code)).ok_or_else(|| format!("{code} is no code of wardd: `wardctl explain` lists them"))?;
    out::line(&format!("{code}: {meaning}\nWhat to do: {way_out}"));
    Ok(ExitCode::SUCCESS)
}
