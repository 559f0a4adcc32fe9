"""The one function that moves money, and what keeps everybody else from doing so.

`ledger_post` takes the legs as arrays, one element for each leg. It locks all touched accounts in id order, so that two
calls never wait for each other in a ring, and then reads, so that it sees what those it waited for have committed.
It answers a verdict instead of raising, and writes nothing unless the verdict is `ok`: the caller's transaction stays
usable after a refusal. It runs with the owner's rights, because the application has none to change balances.
"""

from django.db import migrations

LEDGER_POST = """
CREATE FUNCTION ledger_post(
    ids uuid[], debits uuid[], credits uuid[], amounts numeric[], currencies text[], states text[], pendings uuid[],
    expiries timestamptz[], source_types text[], source_ids text[], memos text[],
    OUT verdict text, OUT subject uuid
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
-- Plans are kept for the life of a connection: one that was made for an empty table must not scan a full one.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    touched uuid[] := ARRAY(SELECT DISTINCT account FROM unnest(debits || credits) AS account);
    stored uuid[];
    changed uuid[];
    debit_sums numeric[];
    credit_sums numeric[];
    debit_holds numeric[];
    credit_holds numeric[];
    foreign_account uuid;
    written integer;
BEGIN
    PERFORM 1 FROM billing_account WHERE id = ANY (touched) ORDER BY id FOR NO KEY UPDATE;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(touched) THEN
        verdict := 'unknown_account';
        RETURN;
    END IF;

    -- Ids that are stored: with the same body they are answered again, with another one they are refused.
    stored := ARRAY(SELECT id FROM billing_transfer WHERE id = ANY (ids));
    IF stored <> '{}' THEN
        SELECT leg.id INTO subject
        FROM unnest(ids, debits, credits, amounts, currencies, states, pendings, source_types, source_ids)
            AS leg (id, debit, credit, amount, currency, state, pending, source_type, source_id)
        JOIN billing_transfer AS row_ ON row_.id = leg.id
        WHERE (leg.debit, leg.credit, leg.amount, leg.currency, leg.state, leg.pending, leg.source_type, leg.source_id)
            IS DISTINCT FROM (row_.debit_account_id, row_.credit_account_id, row_.amount, row_.currency, row_.state,
            row_.pending_id, row_.source_type, row_.source_id)
        LIMIT 1;
        IF FOUND THEN
            verdict := 'different_body';
            RETURN;
        END IF;
    END IF;

    IF array_remove(pendings, NULL) <> '{}' THEN
        SELECT leg.pending, CASE WHEN settlement.id IS NULL THEN 'wrong_hold' ELSE 'settled' END
        INTO subject, verdict
        FROM unnest(ids, debits, credits, amounts, currencies, pendings)
            AS leg (id, debit, credit, amount, currency, pending)
        LEFT JOIN billing_transfer AS hold ON hold.id = leg.pending AND hold.state = 'pending'
            AND (hold.debit_account_id, hold.credit_account_id, hold.currency) = (leg.debit, leg.credit, leg.currency)
            AND leg.amount <= hold.amount
        LEFT JOIN billing_transfer AS settlement ON settlement.pending_id = leg.pending
        WHERE leg.pending IS NOT NULL AND leg.id <> ALL (stored) AND (hold.id IS NULL OR settlement.id IS NOT NULL)
        LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;

    -- What the new legs change, summed for each account; an account that could not pay; one of another currency.
    SELECT array_agg(account.id), array_agg(change.debit), array_agg(change.credit),
        array_agg(change.debit_hold), array_agg(change.credit_hold),
        (array_agg(account.id) FILTER (WHERE account.no_overdraft AND
            account.debits_posted + change.debit + account.debits_pending + change.debit_hold
            > account.credits_posted + change.credit))[1],
        (array_agg(account.id) FILTER (WHERE change.first <> account.currency OR change.last <> account.currency))[1]
    INTO changed, debit_sums, credit_sums, debit_holds, credit_holds, subject, foreign_account
    FROM (
        SELECT side.account, sum(side.debit) AS debit, sum(side.credit) AS credit, sum(side.debit_hold) AS debit_hold,
            sum(side.credit_hold) AS credit_hold, min(leg.currency) AS first, max(leg.currency) AS last
        FROM unnest(ids, debits, credits, amounts, currencies, states, pendings)
            AS leg (id, debit, credit, amount, currency, state, pending)
        LEFT JOIN billing_transfer AS hold ON hold.id = leg.pending
        CROSS JOIN LATERAL (SELECT
            CASE WHEN leg.state IN ('posted', 'post_pending') THEN leg.amount ELSE 0 END AS moved,
            CASE WHEN leg.state = 'pending' THEN leg.amount ELSE -coalesce(hold.amount, 0) END AS held) AS effect
        CROSS JOIN LATERAL (VALUES
            (leg.debit, effect.moved, 0, effect.held, 0),
            (leg.credit, 0, effect.moved, 0, effect.held)) AS side (account, debit, credit, debit_hold, credit_hold)
        WHERE leg.id <> ALL (stored)
        GROUP BY side.account
    ) AS change
    JOIN billing_account AS account ON account.id = change.account;
    IF foreign_account IS NOT NULL OR subject IS NOT NULL THEN
        verdict := CASE WHEN foreign_account IS NULL THEN 'overdraft' ELSE 'wrong_currency' END;
        subject := coalesce(foreign_account, subject);
        RETURN;
    END IF;

    INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, amount, currency, state, pending_id,
        expires_at, source_type, source_id, memo)
    SELECT leg.*
    FROM unnest(ids, debits, credits, amounts, currencies, states, pendings, expiries, source_types, source_ids, memos)
        AS leg (id, debit, credit, amount, currency, state, pending, expires_at, source_type, source_id, memo)
    WHERE leg.id <> ALL (stored)
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(ids) - cardinality(stored) THEN
        -- Same id and body means same accounts, and those we hold: so another body has just taken this id.
        RAISE EXCEPTION 'a transfer with this id and another body was posted at the same time'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'transfer_same_body';
    END IF;

    UPDATE billing_account AS account SET
        debits_posted = account.debits_posted + change.debit,
        credits_posted = account.credits_posted + change.credit,
        debits_pending = account.debits_pending + change.debit_hold,
        credits_pending = account.credits_pending + change.credit_hold
    FROM unnest(changed, debit_sums, credit_sums, debit_holds, credit_holds)
        AS change (id, debit, credit, debit_hold, credit_hold)
    WHERE account.id = change.id;
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
DROP FUNCTION ledger_post(uuid[], uuid[], uuid[], numeric[], text[], text[], uuid[], timestamptz[], text[], text[], text[])
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [
        migrations.RunSQL(LEDGER_POST, migrations.RunSQL.noop),
        migrations.RunSQL(ROOM, "ALTER TABLE billing_account RESET (fillfactor)"),
        migrations.RunSQL(APPEND_ONLY, UNDO),
    ]
