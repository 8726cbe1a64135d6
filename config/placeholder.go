package config

import "regexp"

// placeholder matches what templates leave behind if nothing has filled them in: ${VAR}, $(VAR),
// {{ .Var }}, <%= var %>, #{var}; and, alone or as a part of an address, $VAR; and alone, %VAR%,
// __VAR__, @var@, [[ var ]] and <var>. What it takes for a name must be one: generated passwords
// often have a ${ somewhere.
var placeholder = regexp.MustCompile(`\$\{\s*[A-Za-z_][\w.]*\s*([-:?+=][^}]*)?\}` +
	`|\$\([A-Za-z_][\w.-]*( [^)]*)?\)` +
	`|\{\{-?\s*[.$"(A-Za-z][^}]*\}\}` +
	`|<%.*[A-Za-z].*%>` +
	`|#\{[A-Za-z_][\w.'"\[\]]*\}` +
	`|(^|[:/@,\s])\$[A-Z_][A-Z0-9_]*($|[:/@,\s])` +
	`|^(%[A-Za-z_]\w*%|__[A-Za-z]\w*__|@[A-Za-z_][\w.]*@|\[\[.*[A-Za-z].*\]\]|<[A-Za-z_][\w -]*>)$`)
