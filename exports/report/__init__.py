"""The pages of the PDF report: text made visible, lines, pages, charts, and the pieces joined. Pure.

    visible · fonts · markup  ->  rows · summary  ->  charts · pages · front  ->  pieces are rendered  ->  joining

What is drawn is decided here; `exports.render_pdf` alone knows WeasyPrint.
"""
