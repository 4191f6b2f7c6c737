-- Passkeys (WebAuthn) as second factors, beside authenticator apps.

CREATE TABLE user_passkeys (
    tenant_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,                  -- ours; the authenticator knows `credential_id`
    rp_id TEXT NOT NULL,               -- the name of the server that it was made for; it works for no other
    credential_hash TEXT NOT NULL,     -- SHA-256 of `credential_id`
    credential_id TEXT NOT NULL,       -- base64url, up to 1,364 characters
    public_key TEXT NOT NULL,          -- COSE key, base64url
    algorithm BIGINT NOT NULL,         -- of COSE: -7 ES256, -8 EdDSA, -257 RS256
    sign_count BIGINT NOT NULL,        -- the highest that was shown; 0 where the authenticator does not count
    backup_eligible BOOLEAN NOT NULL,  -- may be copied to other machines; never changes
    backed_up BOOLEAN NOT NULL,        -- is copied, as of its last use
    transports TEXT NOT NULL,          -- JSON: how the browser reaches it
    name TEXT NOT NULL,                -- what its owner calls it
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (tenant_id, user_id, id),
    UNIQUE (tenant_id, credential_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);

-- What a passkey is to sign: for one purpose of one sign-in, or of one step between password and second factor. It goes with
-- that, is taken once, and a new one takes its place.
CREATE TABLE passkey_challenges (
    tenant_id BIGINT NOT NULL,
    purpose TEXT NOT NULL,             -- 'enrol', 'step_up', 'sign_in'
    holder TEXT NOT NULL,              -- `session_id` or `login_hash`
    session_id TEXT,
    login_hash TEXT REFERENCES login_challenges (token_hash) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    challenge_hash TEXT NOT NULL,      -- SHA-256 of the challenge
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, purpose, holder),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX passkey_challenges_by_session ON passkey_challenges (tenant_id, session_id);
CREATE INDEX passkey_challenges_by_login ON passkey_challenges (login_hash);
