DROP TRIGGER facts_stay ON public.exports;
DROP TRIGGER facts_stay_truncate ON public.exports;
DROP TRIGGER made_once ON public.export_parts;
DROP TRIGGER made_once_truncate ON public.export_parts;
DROP FUNCTION public.export_guard();
DROP FUNCTION public.export_part_guard();
