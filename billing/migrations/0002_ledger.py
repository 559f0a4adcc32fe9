"""The one function that moves money, and what keeps everybody else from doing so.

`ledger_post` takes the legs as a JSON array of objects with the fields of `ledger_leg`. It locks all touched accounts in
id order, so that two calls never wait for each other in a ring, and only then looks at transfers, so that it sees what
those it waited for have committed. It answers a verdict instead of raising, and writes nothing unless the verdict is
`ok`: the caller's transaction stays usable after a refusal. It runs with the owner's rights, because the application has
none to change balances.
"""

from django.db import migrations

TYPES = """
CREATE TYPE ledger_leg AS (
    id uuid, debit uuid, credit uuid, amount numeric, currency text, state text, pending uuid, held numeric,
    expires_at timestamptz, source_type text, source_id text, memo text
);
CREATE TYPE ledger_change AS (account uuid, debit numeric, credit numeric, debit_hold numeric, credit_hold numeric)
"""

LEDGER_POST = """
CREATE FUNCTION ledger_post(given jsonb, OUT verdict text, OUT subject uuid)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
-- Planning each statement anew would cost more than running it. Plans are kept for the life of a connection, so one
-- that was made for an empty table must not scan a full one.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    legs ledger_leg[] := ARRAY(SELECT leg FROM jsonb_populate_recordset(NULL::ledger_leg, given) AS leg);
    stored uuid[];
    changes ledger_change[];
    short uuid;
BEGIN
    -- What the legs change, summed for each account; an account that could not pay; one that is unknown or of another
    -- currency. The accounts are locked one by one in the order of the inner query, which a lateral join keeps, and what
    -- is read of each is its newest state.
    SELECT array_agg((change.account, change.debit, change.credit, change.debit_hold, change.credit_hold)::ledger_change),
        (array_agg(account.id) FILTER (WHERE account.no_overdraft AND
            account.debits_posted + change.debit + account.debits_pending + change.debit_hold
            > account.credits_posted + change.credit))[1],
        (array_agg(change.account) FILTER (WHERE account.id IS NULL OR change.first <> account.currency
            OR change.last <> account.currency))[1]
    INTO changes, short, subject
    FROM (
        SELECT side.account, sum(side.debit) AS debit, sum(side.credit) AS credit, sum(side.debit_hold) AS debit_hold,
            sum(side.credit_hold) AS credit_hold, min(side.currency) AS first, max(side.currency) AS last
        FROM (
            SELECT debit AS account, CASE WHEN state IN ('posted', 'post_pending') THEN amount ELSE 0 END AS debit,
                0 AS credit, CASE state WHEN 'pending' THEN amount WHEN 'posted' THEN 0 ELSE -held END AS debit_hold,
                0 AS credit_hold, currency
            FROM unnest(legs)
            UNION ALL
            SELECT credit, 0, CASE WHEN state IN ('posted', 'post_pending') THEN amount ELSE 0 END,
                0, CASE state WHEN 'pending' THEN amount WHEN 'posted' THEN 0 ELSE -held END, currency
            FROM unnest(legs)
        ) AS side
        GROUP BY side.account
        ORDER BY side.account
    ) AS change
    LEFT JOIN LATERAL (
        SELECT * FROM billing_account WHERE billing_account.id = change.account FOR NO KEY UPDATE
    ) AS account ON true;
    IF subject IS NOT NULL THEN
        verdict := 'wrong_account';
        RETURN;
    END IF;

    -- Ids that are stored: with the same body they are answered again, with another one they are refused.
    stored := ARRAY(SELECT leg.id FROM unnest(legs) AS leg JOIN billing_transfer AS row_ ON row_.id = leg.id);
    IF stored <> '{}' THEN
        SELECT leg.id INTO subject FROM unnest(legs) AS leg JOIN billing_transfer AS row_ ON row_.id = leg.id
        WHERE (leg.debit, leg.credit, leg.amount, leg.currency, leg.state, leg.pending, leg.source_type, leg.source_id)
            IS DISTINCT FROM (row_.debit_account_id, row_.credit_account_id, row_.amount, row_.currency, row_.state,
            row_.pending_id, row_.source_type, row_.source_id)
        LIMIT 1;
        IF FOUND THEN
            verdict := 'different_body';
        ELSIF cardinality(stored) = cardinality(legs) THEN
            verdict := 'ok';
        ELSE
            -- The others anew, for they alone must be covered.
            SELECT rest.verdict, rest.subject INTO verdict, subject
            FROM ledger_post(to_jsonb(ARRAY(SELECT leg FROM unnest(legs) AS leg WHERE leg.id <> ALL (stored)))) AS rest;
        END IF;
        RETURN;
    END IF;

    IF given @? '$[*].pending' THEN
        SELECT leg.pending, CASE WHEN settlement.id IS NULL THEN 'wrong_hold' ELSE 'settled' END
        INTO subject, verdict
        FROM unnest(legs) AS leg
        LEFT JOIN billing_transfer AS hold ON hold.id = leg.pending AND hold.state = 'pending'
            AND (hold.debit_account_id, hold.credit_account_id, hold.currency, hold.amount)
                = (leg.debit, leg.credit, leg.currency, leg.held) AND leg.amount <= hold.amount
        LEFT JOIN billing_transfer AS settlement ON settlement.pending_id = leg.pending
        WHERE leg.pending IS NOT NULL AND (hold.id IS NULL OR settlement.id IS NOT NULL)
        LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;

    IF short IS NOT NULL THEN
        verdict := 'overdraft';
        subject := short;
        RETURN;
    END IF;

    -- None of these ids is stored. Should another call take one of them now, then with another body: the same body
    -- would mean the same accounts, and those we hold. So the primary key refuses what must be refused.
    WITH written AS (
        INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, amount, currency, state, pending_id,
            expires_at, source_type, source_id, memo)
        SELECT id, debit, credit, amount, currency, state, pending, expires_at, source_type, source_id, memo
        FROM unnest(legs)
    )
    UPDATE billing_account AS account SET
        debits_posted = account.debits_posted + change.debit,
        credits_posted = account.credits_posted + change.credit,
        debits_pending = account.debits_pending + change.debit_hold,
        credits_pending = account.credits_pending + change.credit_hold
    FROM unnest(changes) AS change
    WHERE account.id = change.account;
    verdict := 'ok';
END
$$
"""

# Balances change all the time and no index knows them: with room on its page an update stays there.
ROOM = "ALTER TABLE billing_account SET (fillfactor = 50)"

APPEND_ONLY = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) THEN
        RAISE EXCEPTION '% is append-only: correct it with a new transfer', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER transfer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER account_never_removed BEFORE DELETE OR TRUNCATE ON billing_account
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gpubroker') AND current_user <> 'gpubroker' THEN
        REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON billing_transfer FROM gpubroker;
        REVOKE UPDATE, DELETE, TRUNCATE ON billing_account FROM gpubroker;
    END IF;
END
$$
"""

UNDO = """
DROP TRIGGER transfer_append_only ON billing_transfer;
DROP TRIGGER account_never_removed ON billing_account;
DROP FUNCTION billing_refuse_change();
DROP FUNCTION ledger_post(jsonb);
DROP TYPE ledger_leg;
DROP TYPE ledger_change
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [
        migrations.RunSQL(TYPES, migrations.RunSQL.noop),
        migrations.RunSQL(LEDGER_POST, migrations.RunSQL.noop),
        migrations.RunSQL(ROOM, "ALTER TABLE billing_account RESET (fillfactor)"),
        migrations.RunSQL(APPEND_ONLY, UNDO),
    ]
