{{- define "tokenworks.selector" -}}
app.kubernetes.io/name: tokenworks
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "tokenworks.labels" -}}
{{ include "tokenworks.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
