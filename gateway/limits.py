"""Every limit has a name, a number and a reason. Sizes in bytes, times in seconds, unless the name says otherwise.

Rules: a limit is checked before and after decryption and decompression; what passes a limit gets a decision with a
reason, never a truncation. The figures are defaults; those that a company may change stand in its config.
"""

from __future__ import annotations

from typing import Final

# --- SMTP (RFC 5321, section 4.5.3, gives the least that must be taken; these are the most)
MESSAGE_BYTES: Final = 26_214_400  # 25 MiB: what the large providers take
COMMAND_LINE_BYTES: Final = 2_048  # RFC 5321 says 512; SMTPUTF8 and AUTH need more; Postfix's line limit
LINE_BYTES: Final = 998  # RFC 5322, section 2.1.1, without CRLF
LINE_BYTES_HARD: Final = 2_048  # what real programs send; beyond it no header or body line is honest
RECIPIENTS: Final = 100  # RFC 5321, section 4.5.3.1.10, demands 100; more is a list, and we are none
CONNECTIONS: Final = 1_000  # all listeners of one edge together
CONNECTIONS_PER_PEER: Final = 50  # Postfix's default
COMMANDS_IDLE_SECONDS: Final = 30.0  # one command; RFC 5321's five minutes serve people who type
DATA_SECONDS: Final = 120.0  # the whole of DATA
DATA_BYTES_PER_SECOND: Final = 1_000  # a sender below this holds a slot for nothing
SESSION_SECONDS: Final = 300.0
SESSION_ERRORS: Final = 10
SESSION_MESSAGES: Final = 1_000
JUNK_COMMANDS: Final = 20  # NOOP, RSET, VRFY, EHLO that lead nowhere
COMMIT_SECONDS: Final = 20.0  # then 451, and the sender tries again
DRAIN_SECONDS: Final = 20.0
RESTART_SECONDS: Final = 0.25  # before a role that died is started again; doubles
RESTART_SECONDS_MOST: Final = 30.0
GREETING_SECONDS: Final = 0.1  # who talks before it is no mail server; servers wait for minutes
CONTENT_MEMORY_BYTES: Final = 268_435_456  # of all messages under way in one edge; beyond it 452
LOGIN_ATTEMPTS: Final = 3  # in one session
ROOM_SECONDS: Final = 1.0  # so often disk and backlog are looked at

# --- parsing, before the parser sees a byte (cpython #136063: a 200 KB From costs a minute)
HEADER_BLOCK_BYTES: Final = 65_536
HEADER_BYTES: Final = 8_192
HEADERS: Final = 200
ADDRESSES: Final = 100
MIME_DEPTH: Final = 20
MIME_PARTS: Final = 200
UNPACKED_BYTES: Final = 104_857_600  # all layers together
TEXT_CHARACTERS: Final = 200_000  # of what an agent is shown
TEXT_BYTES: Final = 4_194_304  # one text before decoding: no charset makes fewer characters of it than are shown
RUNS: Final = 1_000  # repairs in one part: bad lines, broken-off encodings, false delimiters; beyond, it isn't damage
HTML_BYTES: Final = 1_048_576  # lexbor is quadratic in depth
HTML_TAGS: Final = 20_000
HTML_DEPTH: Final = 512
HTML_ATTRIBUTES: Final = 200_000
HTML_TAG_ATTRIBUTES: Final = 500  # lexbor compares each attribute of an element with all others
HTML_NAME: Final = 100  # no element has a longer name
SUBJECT_CHARACTERS: Final = 2_000
NAME_CHARACTERS: Final = 200
REFERENCES: Final = 50
ATTACHMENTS: Final = 50
ATTACHMENT_TEXT_BYTES: Final = 262_144  # of one text attachment that is shown; a longer one is withheld
ATTACHMENTS_TEXT_BYTES: Final = 1_048_576  # of all that are shown together: the recognizers read them twice
NOTICES_PER_ADDRESS_DAY: Final = 3  # however many messages come: we must not be made to write to a third person

# --- OpenPGP
CRYPTO_LAYERS: Final = 4  # signed-then-encrypted is two
CRYPTO_OPERATIONS: Final = 24  # asked of the opener for one message; a mail with twenty encrypted files is rare
AUTOCRYPT_BYTES: Final = 16_384  # Autocrypt 1.1, section 2.1.1, wants at most 10 KB for the whole header
CIPHERTEXT_BYTES: Final = MESSAGE_BYTES
PLAINTEXT_BYTES: Final = 52_428_800  # per layer, after decompression
CERTIFICATE_BYTES: Final = 262_144  # certificate flooding
CERTIFICATES_OFFERED: Final = 5
SIGNATURES: Final = 10
GPG_SECONDS: Final = 20.0
GPG_AT_ONCE: Final = 2  # gpg-agent gains nothing beyond two, and fails beyond sixteen

# --- a parser worker
WORKER_CPU_SECONDS: Final = 4
WORKER_SECONDS: Final = 30.0  # wall
WORKER_MEMORY_BYTES: Final = 536_870_912
WORKER_FILES: Final = 32
WORKER_NICENESS: Final = 10  # who waits for a 250 comes first; what was acknowledged can wait
WORKER_ANSWER_BYTES: Final = 16_777_216
OPENER_SECONDS: Final = 40.0
OPENER_REQUESTS: Final = 64

# --- the path
ATTEMPTS: Final = 3  # then held: a poison message must not loop
FAST_OPENER_SECONDS: Final = 20.0  # under fast recycling an opener lives that long: what it has seen is then gone
RETRY_SECONDS: Final = 2.0  # before the second attempt; then 8: a busy moment passes, a poison message doesn't
KEYS_AWAY_SECONDS: Final = 4 * 3600.0  # gpg or the key process gone: an admin is alarmed long before
LOOK_SECONDS: Final = 2.0  # a wake-up may be lost; then we look by ourselves
LEASE_SECONDS: Final = 120.0
HELD_SECONDS: Final = 72 * 3600.0
DEDUPE_SECONDS: Final = 14 * 86_400.0  # longer than the five days that senders retry
GROUP_COMMIT_ROWS: Final = 256
INTAKE_WAITING: Final = 2_000  # beyond it 451: the disk can't follow
DISK_RESERVE_BYTES: Final = 67_108_864
BACKLOG_HIGH: Final = 50_000  # spool rows; beyond it unauthenticated senders wait
BACKLOG_LOW: Final = 40_000

# --- the store
STORE_WAIT_SECONDS: Final = 5.0  # for a lock; a sender that hears 451 comes again
STATEMENT_SECONDS: Final = 10.0  # no query of ours needs one
IDLE_TRANSACTION_SECONDS: Final = 30.0  # a process that stopped in the middle must not hold locks
READERS: Final = 4  # reading connections of one role
CHECKPOINT_SECONDS: Final = 30.0  # the write-ahead log is emptied that often
BALLAST_BYTES: Final = 16_777_216  # given up on a full disk, so that the spool can be worked off
FEED_SECONDS: Final = 7 * 86_400.0  # a console that slept longer looks at everything afresh
IDEMPOTENCY_SECONDS: Final = 86_400.0  # how long a repeated request gets the first one's answer
DUE_HORIZON_SECONDS: Final = 900.0  # no lease or delay in the store is longer: a later time comes of a clock set back
SEND_DELAY_SECONDS: Final = 4 * 3600.0  # the longest delay between two attempts to send
RATE_FLUSH_SECONDS: Final = 1.0  # counts a crash may lose

# --- sending
SEND_SECONDS: Final = 300.0
SEND_CONNECT_SECONDS: Final = 30.0
SEND_LEASE_SECONDS: Final = 420.0  # a whole attempt, and a store that is away for a moment after it
CERTIFICATES_SECONDS: Final = 2.0  # how soon a certificate that an admin bound is used
EXPIRY_SECONDS: Final = 15.0  # how exactly a held message's time is kept
REQUESTS_AT_ONCE: Final = 2
DOOR_SECONDS: Final = 60.0  # how soon the audit tells of what was refused or deferred at the door
DOOR_RECORDS: Final = 50  # records each time that tell peers apart: under a flood some 30 MB a day
METRICS_SECONDS: Final = 5.0  # how old a figure may be
QUEUE_AGE_ALARM_SECONDS: Final = 300.0  # mail that waits longer to be opened: /healthz says so
NOTICES_AT_ONCE: Final = 2  # they may wait; messages and replies may not
SENDS_AT_ONCE: Final = 20  # sessions with other servers
SEND_ATTEMPTS: Final = 30
SEND_GIVE_UP_SECONDS: Final = 5 * 86_400.0

# --- the desk
REPLY_CHARACTERS: Final = 50_000
REQUEST_BODY_BYTES: Final = 1_048_576
PAGE_ROWS: Final = 100
CLAIM_SECONDS: Final = 300.0
SESSION_IDLE_SECONDS: Final = 15 * 60.0  # PCI DSS 8.2.8
SESSION_ABSOLUTE_SECONDS: Final = 12 * 3600.0
SIGN_IN_ATTEMPTS: Final = 5  # per account and quarter of an hour
SIGN_IN_ATTEMPTS_PER_PEER: Final = 50  # an office behind one address signs in at nine o'clock
SIGN_IN_WINDOW_SECONDS: Final = 900.0
STREAMS_PER_PERSON: Final = 5
FEED_ENTRIES: Final = 500  # read at once
STREAM_HEARTBEAT_SECONDS: Final = 15.0  # proxies cut what is silent for half a minute
STREAM_SECONDS: Final = 3600.0  # then the browser reconnects, with its cursor
DESK_HEADER_SECONDS: Final = 10.0  # slow headers hold a socket for nothing
DESK_HEADERS: Final = 64
DESK_HEADER_LINE_BYTES: Final = 8_190
DESK_BODY_SECONDS: Final = 20.0
IDEMPOTENCY_KEY_CHARACTERS: Final = 128

# --- DNS
DNS_SECONDS: Final = 4.0  # one question
DNS_MESSAGE_SECONDS: Final = 15.0  # all questions of one message
DNS_QUESTIONS: Final = 80  # of one message, over SPF, DKIM, ARC and DMARC together
DNS_CACHE_ENTRIES: Final = 10_000
DKIM_SIGNATURES: Final = 8
ARC_SETS: Final = 50  # RFC 8617, section 4.2.1
DNS_TXT_BYTES: Final = 8_192
