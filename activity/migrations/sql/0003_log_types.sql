-- The log types of a new installation. Set-up records each as a system entry; administrators change them as they like.
INSERT INTO public.log_types (pattern, requires_signature, algorithm, description) VALUES
    ('auditlog.*', true, 'Ed25519', 'What this application itself does. Always signed.'),
    ('auth.*', true, 'Ed25519', 'Sign-in, sign-out, second factors and failed attempts.'),
    ('access.*', true, 'Ed25519', 'Roles, permissions and who gave them.'),
    ('aws.*', true, 'Ed25519', 'AWS CloudTrail.'),
    ('windows.*', true, 'Ed25519', 'Windows event log.'),
    ('windows.sysmon.*', false, 'Ed25519', 'Sysmon telemetry: high volume, proved by the ledger alone.');
