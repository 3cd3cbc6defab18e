DELETE FROM public.log_types
WHERE pattern IN ('auditlog.*', 'auth.*', 'access.*', 'aws.*', 'windows.*', 'windows.sysmon.*');
