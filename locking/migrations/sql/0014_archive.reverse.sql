DROP TRIGGER a_kept_while_locked ON public.activity_revisions;
DROP FUNCTION public.revision_lock_guard();
