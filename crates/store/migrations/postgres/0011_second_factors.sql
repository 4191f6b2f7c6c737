-- Second factors, signing in in two steps, and proof of who asks before what is dangerous.

-- When somebody else chose the password; null once its owner did. Until then a sign-in can only change it.
ALTER TABLE users ADD COLUMN password_given_at BIGINT;

-- A user's TOTP. The secret itself is in `secrets`.
CREATE TABLE user_totp (
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    confirmed_at BIGINT,               -- null until the first right code: it does not count before
    last_step BIGINT NOT NULL,         -- the 30 seconds of the last code that was taken; none is taken twice
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
SELECT fleetgate_protect('user_totp');

CREATE TABLE user_recovery_codes (
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    code_hash TEXT NOT NULL,           -- SHA-256 of user and code
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (tenant_id, user_id, code_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
SELECT fleetgate_protect('user_recovery_codes');

-- Roles, built in or own, whose users need a second factor.
CREATE TABLE second_factor_roles (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    role TEXT NOT NULL,                -- as in `users.role`
    set_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, role)
);
SELECT fleetgate_protect('second_factor_roles');

-- Before the tenant is known: a right password that waits for its second factor.
CREATE TABLE login_challenges (
    token_hash TEXT PRIMARY KEY,       -- SHA-256 of the challenge
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    tries_left BIGINT NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX login_challenges_by_user ON login_challenges (tenant_id, user_id);

-- Who asks has proved it again: for one session and one client, or for settings ('').
CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant_id, id);
CREATE TABLE step_ups (
    tenant_id BIGINT NOT NULL,
    session_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, client_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE
);
SELECT fleetgate_protect('step_ups');
