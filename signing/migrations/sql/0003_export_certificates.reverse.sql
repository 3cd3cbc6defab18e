DROP TRIGGER certificate_steps_truncate ON public.export_certificates;
DROP TRIGGER certificate_steps ON public.export_certificates;
DROP FUNCTION public.export_certificate_guard();
